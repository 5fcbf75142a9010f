-- cancel: a live run is to end; whoever works on it, or else the reaper, ends it.
-- ARGV 1 who, 2 reason. Answer: ok STATUS | already STATUS | gone
if redis.call('EXISTS', run) == 0 then return {'gone'} end
local status = get(run, 'status')
if status ~= 'queued' and status ~= 'running' and status ~= 'waiting' then return {'already', status} end
local at = now()
if redis.call('HSETNX', cancels, get(run, 'run'), cjson.encode({by = ARGV[1], reason = ARGV[2], at = tonumber(at)})) == 1 then
  event(run, run_events, 'cancel-asked', at, {'user', ARGV[1], 'reason', ARGV[2]})
end
return {'ok', status}
