-- fail: a run ends badly, at the place that its context speaks of. The first one wins.
-- KEYS 1 run, 2 its events, 3 environment, 4 due, 5 leases, 6 events
-- ARGV 1 nonce, 2 token, 3 epoch, 4 index, 5 execution ('' the step was due and never started), 6 status, 7 context as JSON,
--      8 kind, 9 summary, 10 patience in seconds ('' none), 11 retention in seconds
-- Answer: ok | gone | already STATUS | stale WHY | held SECONDS
local run, run_events, environment, due, leases, events = unpack(KEYS)
local nonce, token, epoch, index, execution, status, context, kind, summary, patience, retention = unpack(ARGV)

if redis.call('EXISTS', run) == 0 then return {'gone'} end
local again = answered(run, 'fail', nonce)
if again then return again end
if get(run, 'token') ~= token or get(run, 'epoch') ~= epoch then return {'stale', 'another epoch'} end
local current = get(run, 'status')
if current ~= 'queued' and current ~= 'running' then return {'already', current} end
if get(run, 'index') ~= index or get(run, 'execution') ~= execution then return {'stale', 'the run is at another step'} end

local at = now()
if patience ~= '' then
  local since = execution ~= '' and redis.call('ZSCORE', leases, execution) or get(run, 'due_at')
  local left = (tonumber(since) or 0) + patience - at
  if left > 0 then return {'held', string.format('%.1f', left)} end
end

local id = get(run, 'run')
local state = get(run, 'failed_state')
if state == '' then state = get(run, 'origin_state') end
redis.call('HSET', run, 'status', status, 'failure', context, 'ended_at', at, 'execution', '')
redis.call('ZREM', leases, execution)
redis.call('ZREM', due, id)
redis.call('EXPIRE', run, retention)
redis.call('EXPIRE', run_events, retention)
if get(environment, 'run') == id then move(environment, state, at, 'run', '') end
event(run, run_events, events, 'run-failed', at, {'state', state, 'kind', kind, 'summary', summary})
return answer(run, 'fail', nonce, {'ok'})
