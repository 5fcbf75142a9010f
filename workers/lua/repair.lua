-- repair: live runs of which a script was refused in the middle stand again where the reaper looks for them.
-- KEYS 1 due, 2 leases, 3 retries, then runs. ARGV 1 schema. Answer: those that did not, by id
local due, leases, retries = unpack(KEYS, 1, 3)
local now = redis.call('TIME')[1]
local repaired = {}
for i = 4, #KEYS do
  local schema, id, status, execution, due_at = unpack(redis.call('HMGET', KEYS[i], 'schema', 'run', 'status', 'execution', 'due_at'))
  local places = {queued = {due, id, due_at}, waiting = {retries, id, due_at}, running = {leases, execution, now}}
  local place = schema == ARGV[1] and places[status]
  if place and not redis.call('ZSCORE', place[1], place[2]) then
    redis.call('ZADD', place[1], place[3], place[2])
    repaired[#repaired + 1] = id
  end
end
return repaired
