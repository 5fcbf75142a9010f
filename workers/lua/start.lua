-- start: a step begins, before its code. One round trip gives all that the step needs.
-- KEYS 13 server, 14 workspace
-- ARGV 1 nonce, 2 token, 3 epoch, 4 index, 5 delivery, 6 step, 7 worker, 8 lease in seconds, 9 schema,
--      10 seconds after a lapsed lease in which the worker's tools may still be ending
-- Answer: ok EXECUTION ATTEMPT NOW OPTIONS SPEC NEXT UNCERTAIN DEADLINE SKIP WORKSPACE [FACT VALUE …] | gone | stale WHY
local server, workspace = unpack(KEYS, 13)
local nonce, token, epoch, index, delivery, step, worker, lease, schema, ending = unpack(ARGV)

local its = fields(run, 'run', 'schema', 'token', 'epoch', 'delivery', 'status', 'index', 'names', 'queues', 'due_at', 'due_number',
  'attempts:' .. index, 'started_at', 'options', 'spec', 'next', 'uncertain:' .. index, 'deadline_at', 'skip:' .. index,
  'nonce:start', 'answer:start')
if its.run == '' then return {'gone'} end
local held = fields(environment, 'run', 'spec', 'updated_at')

-- Only what was new with this start is kept for who asks again: the rest is what it was.
local function words(execution, attempt, at)
  local found = {'ok', execution, attempt, at, its.options, its.spec ~= '' and its.spec or held.spec, its.next,
    its['uncertain:' .. index], its.deadline_at, its['skip:' .. index], get(workspace, 'digest')}
  for _, word in ipairs(redis.call('HGETALL', facts)) do found[#found + 1] = word end
  return found
end

if its['nonce:start'] == nonce then return words(unpack(cjson.decode(its['answer:start']))) end

local at = now()

-- A Redis that has come back may have forgotten what had begun since. What it knows to be due then gets a new epoch first. A run
-- that was launched since may follow one that is forgotten, whose tools may still be ending.
local function forgotten()
  local back_at = came_back(server, at)
  if tonumber(its.due_at) < back_at then return 'Redis has come back since it was due' end
  if at - back_at < lease + ending and tonumber(held.updated_at) >= back_at then
    return 'Redis has just come back, and tools of before may still be ending'
  end
  return nil
end

local function stale()
  if its.schema ~= schema then return 'the run has schema ' .. its.schema end
  if its.token ~= token then return 'another token' end
  if its.epoch ~= epoch then return 'epoch ' .. its.epoch .. ' is the current one' end
  if its.delivery ~= delivery then return 'it was sent again since' end
  if its.status ~= 'queued' then return 'the run is ' .. its.status end
  if its.index ~= index then return 'step ' .. its.index .. ' is due' end
  if cjson.decode(its.names)[tonumber(index)] ~= step then return 'the run has another step there' end
  if held.run ~= its.run then return 'the environment is not held by this run' end
  if redis.call('HEXISTS', cancels, its.run) == 1 then return 'the run is to be cancelled' end
  if redis.call('EXISTS', paused) == 1 then return 'all is paused' end
  return forgotten()
end

local why = stale()
if why then return {'stale', why} end

local attempt = string.format('%d', (tonumber(its['attempts:' .. index]) or 0) + 1)
-- Should Redis forget this start, the next one has the same place and attempt, and must not share its lease.
local execution = table.concat({its.run, epoch, index, attempt, string.sub(nonce, 1, 8)}, '.')
redis.call('HSET', run, 'status', 'running', 'step', step, 'attempts:' .. index, attempt, 'attempt', attempt,
  'execution', execution, 'worker', worker, 'started_at', its.started_at ~= '' and its.started_at or at, 'step_started_at', at,
  'ending_seconds', ending, 'nonce:start', nonce, 'answer:start', cjson.encode({execution, attempt, at}))
redis.call('ZREM', due, its.run)
redis.call('ZADD', leases, at + lease, execution)

-- The watermark of the queue: the latest step that was started, and since when it was due.
local queue = cjson.decode(its.queues)[tonumber(index)]
if tonumber(its.due_number) > (tonumber(redis.call('HGET', queues, 'seen:' .. queue)) or 0) then
  redis.call('HSET', queues, 'seen:' .. queue, its.due_number, 'seen_at:' .. queue, its.due_at)
end

local left_out = its['skip:' .. index]
event(run, run_events, 'step-started', at, left_out ~= '' and {'worker', worker, 'left_out', left_out} or {'worker', worker})
show(environment)
return words(execution, attempt, at)
