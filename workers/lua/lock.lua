-- lock: take the lock of an OpenTofu state. KEYS 1 state. ARGV 1 lock's ID, 2 its info as JSON, 3 owner RUN.EPOCH.
-- A lock of another owner is taken over: the environment's claim went on to us, so that owner's tools have been ended.
-- Answer: ok | taken INFO | locked INFO
local id, owner, info = unpack(redis.call('HMGET', KEYS[1], 'lock_id', 'owner', 'lock'))
if id and id ~= ARGV[1] and owner == ARGV[3] then return {'locked', info} end
redis.call('HSET', KEYS[1], 'lock_id', ARGV[1], 'lock', ARGV[2], 'owner', ARGV[3])
if id and id ~= ARGV[1] then return {'taken', info} end
return {'ok'}
