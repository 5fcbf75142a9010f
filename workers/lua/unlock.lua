-- unlock: free the lock of an OpenTofu state. KEYS 1 state. ARGV 1 lock's ID ('' whichever it is). Answer: ok | locked INFO
local id, info = unpack(redis.call('HMGET', KEYS[1], 'lock_id', 'lock'))
if id and ARGV[1] ~= '' and id ~= ARGV[1] then return {'locked', info} end
redis.call('HDEL', KEYS[1], 'lock_id', 'lock', 'owner')
return {'ok'}
