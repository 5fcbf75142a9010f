-- end: a step has ended well. What it has made and learned is kept, the next step is due, and its message is in its queue.
-- KEYS 13 next run, 14 its events, 15 server, 16 workspace, 17 log, 18 the queue of the next step's message, if there is one
-- ARGV 1 nonce, 2 token, 3 epoch, 4 execution, 5 ending, 6 note, 7 retention in seconds,
--      8 what a look for drift has found, as JSON: add, change, destroy, summary ('' there is none); '' nobody has looked;
--      9 the workspace's digest ('' it is as it was), 10 its archive ('' nothing is left of it), 11 the last lines of the log,
--      12 the next step's message, as it stands in its queue ('' there is none), [fact, value …]
-- Answer: ok next | ok done [ROLLOUT] | ok then RUN TOKEN EPOCH DELIVERY WORKFLOW | gone | stale WHY
local next_run, next_events, server, workspace, log, next_queue = unpack(KEYS, 13)
local nonce, token, epoch, execution, ending, note, retention, drift, digest, archive, lines, message = unpack(ARGV, 1, 12)

local its = fields(run, 'run', 'token', 'epoch', 'execution', 'status', 'index', 'total', 'step', 'attempt', 'step_started_at')
if its.run == '' then return {'gone'} end
local again = answered('end', nonce)
if again then return again end
if its.token ~= token or its.epoch ~= epoch then return {'stale', 'another epoch'} end
if its.execution ~= execution or its.status ~= 'running' then return {'stale', 'another execution'} end
if get(environment, 'run') ~= its.run then return {'stale', 'the environment is not held by this run'} end

-- The mark of drift: since the first look that found any, until one finds none.
local function mark(at)
  local found, known = cjson.decode(drift), get(environment, 'drift')
  redis.call('HSET', environment, 'checked_at', at)
  if found.summary == '' then
    redis.call('HDEL', environment, 'drift')
  else
    found.since = known == '' and tonumber(at) or cjson.decode(known).since
    found.at, found.run = tonumber(at), get(run, 'run')
    redis.call('HSET', environment, 'drift', cjson.encode(found))
    redis.call('HSET', run, 'drift', found.summary)
  end
end

local at = now()
came_back(server, at)  -- what is due now is so since, for we have been heard
local index, total = tonumber(its.index), tonumber(its.total)
local seconds = string.format('%.3f', at - its.step_started_at)
if #ARGV > 12 then redis.call('HSET', facts, unpack(ARGV, 13)) end
if drift ~= '' then mark(at) end
if archive ~= '' then
  redis.call('HSET', workspace, 'digest', digest, 'archive', archive)
elseif digest ~= '' then
  redis.call('DEL', workspace)
end
if lines ~= '' then  -- as workers/runlog.py sends those before
  redis.call('XADD', log, 'MAXLEN', '~', 4000, '*', 'step', its.step, 'attempt', its.attempt, 'text', lines)
  redis.call('EXPIRE', log, retention)
end
redis.call('HSET', run, 'failure', '', 'ended:' .. index, cjson.encode({
  step = its.step, index = index, ending = ending, seconds = tonumber(seconds), attempt = tonumber(its.attempt), note = note}))
redis.call('HDEL', run, 'uncertain:' .. index)
if ending == 'not-possible' then redis.call('HSET', run, 'partial', 1) end
redis.call('ZREM', leases, execution)
event(run, run_events, 'step-ended', at, {'ending', ending, 'note', note, 'seconds', seconds})

if index < total then
  make_due(run, index + 1, at)
  -- As kombu does it. So messages stand in a queue in the order of their numbers, and none is lost on its way there.
  if message ~= '' then redis.call('LPUSH', next_queue, message) end
  return answer('end', nonce, {'ok', 'next'})
end

local cancel = redis.call('HGET', cancels, get(run, 'run'))
close('succeeded', at, retention)
local done, partial = get(run, 'done_state'), get(run, 'partial')
if done == '' then  -- a plan, or a check: the environment is as it was
  done, partial = get(run, 'origin_state'), get(environment, 'partial')
end
if get(run, 'mends') == '1' then redis.call('HDEL', environment, 'drift') end
event(run, run_events, 'run-ended', at, {'state', done, 'partial', partial, 'next', get(run, 'next')})
if get(run, 'next') == '' or redis.call('EXISTS', next_run) == 0 then
  leave(get(run, 'done_state'), at, 'run', '', 'partial', partial)
  return answer('end', nonce, freed('done'))
end

redis.call('HSET', next_run, 'origin_state', done)
begin(next_run, 1, at)
local following = get(next_run, 'run')
if cancel then redis.call('HSET', cancels, following, cancel) end
move(get(next_run, 'running_state'), at, 'run', following, 'last_run', following, 'partial', partial)
event(next_run, next_events, 'launched', at,
  {'state', get(next_run, 'running_state'), 'user', get(next_run, 'user'), 'trigger', get(next_run, 'trigger')})
return answer('end', nonce,
  {'ok', 'then', following, get(next_run, 'token'), get(next_run, 'epoch'), get(next_run, 'delivery'),
    get(next_run, 'workflow')})
