-- lock: take the lock of an OpenTofu state. KEYS 1 state, 2 environment, 3 run. ARGV 1 lock's ID, 2 its info as JSON, 3 run, 4 epoch.
-- Only who holds the environment's claim gets it: a request that waited in a worker that was stopped takes nothing from its
-- successor. A lock of another owner is taken over: the claim went on to us, so that owner's tools have been ended.
-- Answer: ok | taken INFO | locked INFO
local id, owner, info = unpack(redis.call('HMGET', KEYS[1], 'lock_id', 'owner', 'lock'))
local ours = ARGV[3] .. '.' .. ARGV[4]
local run, epoch = redis.call('HGET', KEYS[2], 'run') or '', redis.call('HGET', KEYS[3], 'epoch') or ''
if run ~= ARGV[3] or epoch ~= ARGV[4] then
  return {'locked', cjson.encode({ID = 'another', Who = 'run ' .. run .. ' holds the environment, not ' .. ours})}
end
if id and id ~= ARGV[1] and owner == ours then return {'locked', info} end
redis.call('HSET', KEYS[1], 'lock_id', ARGV[1], 'lock', ARGV[2], 'owner', ours)
if id and id ~= ARGV[1] then return {'taken', info} end
return {'ok'}
