-- fail: a run's step ends badly, at the place that its context speaks of; the first one wins. The run ends, or waits for its retry.
-- KEYS 13 next run (or the run), 14 server
-- ARGV 1 nonce, 2 request as JSON: token, epoch, index, execution ('' it was due and never started), status, context as JSON, kind, summary, trace,
--      retry: seconds until it is tried again ('' never), most: how often at most, uncertain: nobody knows what the step has done,
--      hold: seconds in which its tools may still be ending, patience: only if its lease lapsed so many seconds ago ('' at once), retention in seconds
-- Answer: ok STATUS, of a run that has ended [ROLLOUT] | gone | already STATUS | stale WHY | held SECONDS
local nonce, request = ARGV[1], cjson.decode(ARGV[2])
local index, execution = request.index, request.execution

if redis.call('EXISTS', run) == 0 then return {'gone'} end
local again = answered('fail', nonce)
if again then return again end
if get(run, 'token') ~= request.token or get(run, 'epoch') ~= request.epoch then return {'stale', 'another epoch'} end
local current = get(run, 'status')
if current ~= 'queued' and current ~= 'running' and current ~= 'waiting' then return {'already', current} end
if get(run, 'index') ~= index or get(run, 'execution') ~= execution then return {'stale', 'the run is at another step'} end

local at = now()
local seconds = left(execution, request.patience, at)
if seconds > 0 then return {'held', string.format('%.1f', seconds)} end

local id = get(run, 'run')
redis.call('HSET', run, 'failure', request.context)
if request.uncertain then doubt(index) end
if execution == '' or request.patience ~= '' then  -- it is not its own worker that says so
  outdate(came_back(KEYS[14], at), written_at(), index, at)
end

if request.hold > 0 and get(environment, 'run') == id then redis.call('HSET', environment, 'held_until', at + request.hold) end

if request.retry ~= '' and redis.call('HEXISTS', cancels, id) == 0 then
  local due_at = at + math.max(request.retry, request.hold)
  remember(index, {kind = request.kind, summary = request.summary, trace_id = request.trace}, at)
  redis.call('HSET', run, 'status', 'waiting', 'execution', '', 'due_at', due_at, 'most', request.most)
  redis.call('HINCRBY', run, (request.kind == 'worker-lost' and 'taken:' or 'retried:') .. index, 1)
  redis.call('ZREM', leases, execution)
  redis.call('ZREM', due, id)
  redis.call('ZADD', retries, due_at, id)
  event(run, run_events, 'step-failed', at,
    {'kind', request.kind, 'summary', request.summary, 'trace', request.trace, 'retry_at', due_at})
  return answer('fail', nonce, {'ok', 'waiting'})
end

local state = get(run, 'failed_state')
if state == '' then state = get(run, 'origin_state') end
close(request.status, at, request.retention)
if get(run, 'next') ~= '' then redis.call('EXPIRE', KEYS[13], request.retention) end
if get(environment, 'run') == id then leave(get(run, 'failed_state'), at, 'run', '') end
event(run, run_events, 'run-failed', at, {'state', state, 'kind', request.kind, 'summary', request.summary, 'status', request.status})
return answer('fail', nonce, freed(request.status))
