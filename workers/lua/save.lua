-- save: write an OpenTofu state under its lock. KEYS 1 state, 2 orphans. ARGV 1 lock's ID, 2 the state, encrypted.
-- Without the lock it is kept as an orphan: nothing that a real apply has written is dropped. Answer: ok | orphan
if redis.call('HGET', KEYS[1], 'lock_id') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'state', ARGV[2])
  return {'ok'}
end
redis.call('RPUSH', KEYS[2], ARGV[2])
return {'orphan'}
