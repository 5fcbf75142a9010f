-- end: a step has ended well. Its facts are kept, and the next step is due before its message is published.
-- KEYS 1 run, 2 its events, 3 environment, 4 facts, 5 due, 6 leases, 7 queues, 8 events, 9 next run, 10 its events
-- ARGV 1 nonce, 2 token, 3 epoch, 4 execution, 5 ending, 6 note, 7 retention in seconds, [fact, value …]
-- Answer: ok next | ok done | ok then RUN TOKEN EPOCH DELIVERY WORKFLOW | gone | stale WHY
local run, run_events, environment, facts, due, leases, queues, events, next_run, next_events = unpack(KEYS)
local nonce, token, epoch, execution, ending, note, retention = unpack(ARGV, 1, 7)

if redis.call('EXISTS', run) == 0 then return {'gone'} end
local again = answered(run, 'end', nonce)
if again then return again end
if get(run, 'token') ~= token or get(run, 'epoch') ~= epoch then return {'stale', 'another epoch'} end
if get(run, 'execution') ~= execution or get(run, 'status') ~= 'running' then return {'stale', 'another execution'} end
if get(environment, 'run') ~= get(run, 'run') then return {'stale', 'the environment is not held by this run'} end

local at = now()
local index, total = tonumber(get(run, 'index')), tonumber(get(run, 'total'))
local seconds = string.format('%.3f', at - get(run, 'step_started_at'))
if #ARGV > 7 then redis.call('HSET', facts, unpack(ARGV, 8)) end
redis.call('HSET', run, 'ended:' .. index, cjson.encode({
  step = get(run, 'step'), index = index, ending = ending, seconds = tonumber(seconds),
  attempt = tonumber(get(run, 'attempt')), note = note}))
redis.call('HDEL', run, 'uncertain:' .. index)
if ending == 'not-possible' then redis.call('HSET', run, 'partial', 1) end
redis.call('ZREM', leases, execution)
event(run, run_events, events, 'step-ended', at, {'ending', ending, 'note', note, 'seconds', seconds})

if index < total then
  make_due(run, due, queues, index + 1, at)
  return answer(run, 'end', nonce, {'ok', 'next'})
end

redis.call('HSET', run, 'status', 'succeeded', 'ended_at', at, 'execution', '')
local done, partial = get(run, 'done_state'), get(run, 'partial')
if done == '' then  -- a plan: the environment is as it was
  done, partial = get(run, 'origin_state'), get(environment, 'partial')
end
event(run, run_events, events, 'run-ended', at,
  {'state', done, 'partial', get(run, 'partial'), 'next', get(run, 'next')})
redis.call('EXPIRE', run, retention)
redis.call('EXPIRE', run_events, retention)
if get(run, 'next') == '' or redis.call('EXISTS', next_run) == 0 then
  move(environment, done, at, 'run', '', 'partial', partial)
  return answer(run, 'end', nonce, {'ok', 'done'})
end

redis.call('HSET', next_run, 'origin_state', done)
activate(next_run, due, queues, 1, at)
local following = get(next_run, 'run')
move(environment, get(next_run, 'running_state'), at, 'run', following, 'last_run', following, 'partial', partial)
event(next_run, next_events, events, 'launched', at,
  {'state', get(next_run, 'running_state'), 'user', get(next_run, 'user'), 'trigger', get(next_run, 'trigger')})
return answer(run, 'end', nonce,
  {'ok', 'then', following, get(next_run, 'token'), get(next_run, 'epoch'), get(next_run, 'delivery'),
    get(next_run, 'workflow')})
