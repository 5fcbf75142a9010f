-- save: write an OpenTofu state under its lock. KEYS 1 state, 2 orphans, 3 settled.
-- ARGV 1 lock's ID, 2 the state, encrypted, 3 its digest, 4 who writes it, RUN.EPOCH.
-- Without the lock it is kept as an orphan, once: nothing that a real apply has written is dropped. Answer: ok | orphan
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], 'lock_id') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'state', ARGV[2])
  return {'ok'}
end
if redis.call('HEXISTS', KEYS[3], ARGV[3]) == 0 then
  local kept = {at = tonumber(redis.call('TIME')[1]), owner = ARGV[4], state = ARGV[2]}
  redis.call('HSETNX', KEYS[2], ARGV[3], cjson.encode(kept))
end
return {'orphan'}
