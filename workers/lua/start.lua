-- start: a step begins, before its code. One round trip gives all that the step needs.
-- KEYS 13 server, 14 workspace
-- ARGV 1 nonce, 2 token, 3 epoch, 4 index, 5 delivery, 6 step, 7 worker, 8 lease in seconds, 9 schema,
--      10 seconds after a lapsed lease in which the worker's tools may still be ending
-- Answer: ok EXECUTION ATTEMPT NOW OPTIONS SPEC NEXT UNCERTAIN DEADLINE SKIP WORKSPACE [FACT VALUE …] | gone | stale WHY
local nonce, token, epoch, index, delivery, step, worker, lease, schema, ending = unpack(ARGV)

if redis.call('EXISTS', run) == 0 then return {'gone'} end
local again = answered('start', nonce)
if again then return again end

local at = now()

-- A Redis that has come back may have forgotten what had begun since. What it knows to be due then gets a new epoch first. A run
-- that was launched since may follow one that is forgotten, whose tools may still be ending.
local function forgotten()
  local back_at = came_back(KEYS[13], at)
  if tonumber(get(run, 'due_at')) < back_at then return 'Redis has come back since it was due' end
  if at - back_at < lease + ending and tonumber(get(environment, 'updated_at')) >= back_at then
    return 'Redis has just come back, and tools of before may still be ending'
  end
  return nil
end

local function stale()
  if get(run, 'schema') ~= schema then return 'the run has schema ' .. get(run, 'schema') end
  if get(run, 'token') ~= token then return 'another token' end
  if get(run, 'epoch') ~= epoch then return 'epoch ' .. get(run, 'epoch') .. ' is the current one' end
  if get(run, 'delivery') ~= delivery then return 'it was sent again since' end
  if get(run, 'status') ~= 'queued' then return 'the run is ' .. get(run, 'status') end
  if get(run, 'index') ~= index then return 'step ' .. get(run, 'index') .. ' is due' end
  if cjson.decode(get(run, 'names'))[tonumber(index)] ~= step then return 'the run has another step there' end
  if get(environment, 'run') ~= get(run, 'run') then return 'the environment is not held by this run' end
  if redis.call('HEXISTS', cancels, get(run, 'run')) == 1 then return 'the run is to be cancelled' end
  if redis.call('EXISTS', paused) == 1 then return 'all is paused' end
  return forgotten()
end

local why = stale()
if why then return {'stale', why} end

local id = get(run, 'run')
local attempt = redis.call('HINCRBY', run, 'attempts:' .. index, 1)
-- Should Redis forget this start, the next one has the same place and attempt, and must not share its lease.
local execution = table.concat({id, epoch, index, attempt, string.sub(nonce, 1, 8)}, '.')
redis.call('HSET', run, 'status', 'running', 'step', step, 'attempt', attempt, 'execution', execution, 'worker', worker,
  'step_started_at', at, 'ending_seconds', ending)
redis.call('HSETNX', run, 'started_at', at)
redis.call('ZREM', due, id)
redis.call('ZADD', leases, at + lease, execution)

-- The watermark of the queue: the latest step that was started, and since when it was due.
local queue = cjson.decode(get(run, 'queues'))[tonumber(index)]
local number = tonumber(get(run, 'due_number'))
if number > (tonumber(redis.call('HGET', queues, 'seen:' .. queue)) or 0) then
  redis.call('HSET', queues, 'seen:' .. queue, number, 'seen_at:' .. queue, get(run, 'due_at'))
end

event(run, run_events, 'step-started', at, {'worker', worker})
local words = {'ok', execution, tostring(attempt), at, get(run, 'options'),
  redis.call('HGET', run, 'spec') or get(environment, 'spec'), get(run, 'next'),
  get(run, 'uncertain:' .. index), get(run, 'deadline_at'), get(run, 'skip:' .. index), get(KEYS[14], 'digest')}
for _, word in ipairs(redis.call('HGETALL', facts)) do words[#words + 1] = word end
return answer('start', nonce, words)
