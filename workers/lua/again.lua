-- again: a live run goes on at its step under a new epoch, because a retry has come due, its worker is lost or stops, or its message was lost.
-- KEYS 13 server
-- ARGV 1 nonce, 2 token, 3 epoch, 4 index, 5 execution ('' none), 6 why: retry | taken-over | handed-over | sent-again,
--      7 patience: only if its lease lapsed, or it was due, so many seconds ago ('' at once), 8 limit: of this why at this step,
--      9 kind, summary and trace_id of the execution that ended so, as JSON ('' nothing is to be told of it),
--      10 seconds after Redis came back in which only its own worker may give a step away
-- Answer: ok EPOCH DELIVERY | gone | stale WHY | held SECONDS | limit
local nonce, token, epoch, index, execution, why, patience, limit, lost, quiet = unpack(ARGV)
local from = {retry = 'waiting', ['taken-over'] = 'running', ['handed-over'] = 'running', ['sent-again'] = 'queued'}

if redis.call('EXISTS', run) == 0 then return {'gone'} end
local again = answered('again', nonce)
if again then return again end
if get(run, 'token') ~= token or get(run, 'epoch') ~= epoch then return {'stale', 'another epoch'} end
if get(run, 'status') ~= from[why] then return {'stale', 'the run is ' .. get(run, 'status')} end
if get(run, 'index') ~= index or get(run, 'execution') ~= execution then return {'stale', 'the run is at another step'} end
if redis.call('HEXISTS', cancels, get(run, 'run')) == 1 then return {'stale', 'the run is to be cancelled'} end

local at = now()
local back_at = came_back(KEYS[13], at)
local seconds = left(execution, patience, at)
if why ~= 'handed-over' then seconds = math.max(seconds, back_at + quiet - at) end
if seconds > 0 then return {'held', string.format('%.1f', seconds)} end

local counts = {['taken-over'] = 'taken:', ['sent-again'] = 'resent:'}
if counts[why] then
  if (tonumber(get(run, counts[why] .. index)) or 0) >= tonumber(limit) then return {'limit'} end
  redis.call('HINCRBY', run, counts[why] .. index, 1)
end
if execution ~= '' then doubt(index) end
if why ~= 'handed-over' then outdate(back_at, written_at(), index, at) end
if lost ~= '' then remember(index, cjson.decode(lost), at) end
event(run, run_events, why, at, {'worker', execution ~= '' and get(run, 'worker') or '', 'trace', lost ~= '' and cjson.decode(lost).trace_id or ''})
activate(run, tonumber(index), at)
redis.call('ZREM', leases, execution)
redis.call('ZREM', retries, get(run, 'run'))
return answer('again', nonce, {'ok', get(run, 'epoch'), get(run, 'delivery')})
