-- adopt: an environment gets another name, with all that is kept of it. The name that its host goes by at the provider stays reserved.
-- KEYS 1 environment, 2 the new one, 3 environments, 4 gone, 5 overview, 6 facts, 7 the reserved one, then pairs: from, to; then its runs
-- ARGV 1 name, 2 new name, 3 revision that was read, 4 spec, 5 name that the host goes by ('' there is none), 6 schema, 7 what is recorded, JSON,
--      8 number of pairs, then of each run: its failure context, JSON ('' none)
-- Answer: ok | busy RUN | held SECONDS | conflict REVISION | exists
local environment, new, environments, gone, overview, facts, reserved = unpack(KEYS, 1, 7)
local name, new_name, revision, spec, host_name, schema, record, pairs_count = unpack(ARGV, 1, 8)
local run, now_revision, held = unpack(redis.call('HMGET', environment, 'run', 'revision', 'held_until'))
if (now_revision or '') ~= revision then return {'conflict', now_revision or ''} end
if run and run ~= '' then return {'busy', run} end
local time = redis.call('TIME')
local left = (tonumber(held or '') or 0) - time[1]
if left > 0 then return {'held', tostring(left)} end
-- Back to the name that is reserved for its own host: that is no other environment.
if redis.call('EXISTS', new) == 1 and redis.call('HGET', new, 'moved_to') ~= name then return {'exists'} end

local first_run = 8 + 2 * pairs_count
for i = first_run, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then  -- it is not past its retention by now
    redis.call('HSET', KEYS[i], 'environment', new_name)
    if ARGV[9 + i - first_run] ~= '' then redis.call('HSET', KEYS[i], 'failure', ARGV[9 + i - first_run]) end
  end
end
for i = 8, first_run - 1, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], KEYS[i + 1]) end
end
redis.call('RENAME', environment, new)
redis.call('HSET', new, 'name', new_name, 'spec', spec, 'updated_at', string.format('%d.%06d', time[1], time[2]))
redis.call('HINCRBY', new, 'revision', 1)
redis.call('SREM', environments, name)
redis.call('SADD', environments, new_name)
redis.call('HSET', gone, name, record)
redis.call('HDEL', gone, new_name)
redis.call('HSETNX', facts, 'scope_name', cjson.encode(name))
if host_name == '' or host_name == new_name then
  redis.call('HDEL', facts, 'host_name')
else
  redis.call('HSET', facts, 'host_name', cjson.encode(host_name))
  redis.call('HSET', reserved, 'name', host_name, 'schema', schema, 'revision', 0, 'state', 'moved', 'moved_to', new_name)
end
redis.call('HDEL', overview, name)
show(new)
return {'ok'}
