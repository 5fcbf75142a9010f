-- unlock: free the lock of an OpenTofu state. KEYS 1 state, [2 audit]. ARGV 1 lock's ID ('' whichever it is), [2 user, 3 reason]
-- Answer: ok | locked INFO
local id, info, owner = unpack(redis.call('HMGET', KEYS[1], 'lock_id', 'lock', 'owner'))
if id and ARGV[1] ~= '' and id ~= ARGV[1] then return {'locked', info} end
redis.call('HDEL', KEYS[1], 'lock_id', 'lock', 'owner')
if KEYS[2] then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'at', redis.call('TIME')[1], 'what', 'unlocked', 'owner', owner or '',
    'user', ARGV[2], 'reason', ARGV[3])
end
return {'ok'}
