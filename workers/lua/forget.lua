-- forget: an environment's record goes, with all that is kept of it; its traces stay for the retention.
-- KEYS 1 environment, 2 environments, 3 gone, 4 overview, 5 traces, 6 what was done to its state by hand, 7 the name that its host was
--      made under, as an environment, then all that is deleted
-- ARGV 1 name, 2 revision that was read, 3 what is recorded, JSON, 4 retention in seconds. Answer: ok | busy RUN | held SECONDS | conflict REVISION
local environment, environments, gone, overview, traces, audit, reserved = unpack(KEYS, 1, 7)
local name, revision, record, retention = unpack(ARGV)
local run, now_revision, held = unpack(redis.call('HMGET', environment, 'run', 'revision', 'held_until'))
if (now_revision or '') ~= revision then return {'conflict', now_revision or ''} end
if run and run ~= '' then return {'busy', run} end
local left = (tonumber(held or '') or 0) - redis.call('TIME')[1]
if left > 0 then return {'held', tostring(left)} end

redis.call('DEL', environment, unpack(KEYS, 8))
redis.call('SREM', environments, name)
redis.call('HDEL', overview, name)
redis.call('EXPIRE', traces, retention)
redis.call('EXPIRE', audit, retention)
if redis.call('HGET', reserved, 'moved_to') == name then redis.call('DEL', reserved) end
redis.call('HSET', gone, name, record)
return {'ok'}
