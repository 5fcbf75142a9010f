-- beat: a worker says that it lives, and hears whether it is to be drained.
-- KEYS 1 worker, 2 workers. ARGV 1 name, 2 instance, 3 number of the last order that it knows, 4 that order: who drains it ('' nobody),
--      5 silence in seconds after which another may have its name, 6 seconds that the record is kept,
--      7 who starts it again when it dies ('' nobody), then field, value …
-- Answer: ok ORDER DRAIN | taken MACHINE PID HEARD_AT
local name, instance, order, drain, silence, kept, crew = unpack(ARGV, 1, 7)
local time = redis.call('TIME')
local at = string.format('%d.%06d', time[1], time[2])

local known = {}
for i, value in ipairs(redis.call('HMGET', KEYS[1], 'instance', 'order', 'drain', 'machine', 'pid', 'heard_at', 'crew')) do
  known[i] = value or ''
end
local of, their_order, their_drain, machine, pid, heard_at, their_crew = unpack(known)
if of ~= '' and of ~= instance then
  if heard_at + silence > tonumber(at) then return {'taken', machine, pid, heard_at} end
  -- What died and was started again by itself is still to be drained, if it was.
  if crew ~= '' and crew == their_crew then order, drain = their_order, their_drain end
  redis.call('DEL', KEYS[1])
elseif of == instance and tonumber(their_order) > tonumber(order) then
  -- Of two orders the later one counts: Redis may have come back without the last one.
  order, drain = their_order, their_drain
end
redis.call('HSET', KEYS[1], 'name', name, 'instance', instance, 'order', order, 'drain', drain, 'heard_at', at, 'crew', crew, unpack(ARGV, 8))
redis.call('EXPIRE', KEYS[1], kept)
redis.call('ZADD', KEYS[2], at, name)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time[1] - kept)
return {'ok', order, drain}
