-- overview: a look at the fleet in one round trip; changes nothing.
-- KEYS 1 overview, 2 environments, 3 leases, 4 workers, 5 paused, 6 schedules
-- ARGV 1 seconds for which a worker may be silent, then names ('' all)
-- Answer: AT, number of environments, their rows: name, row …; executions whose lease is good; those whose lease has lapsed, and when, by
--         turns; number of workers that live, the pause as JSON ('' none), the last firings as JSON, the queues that workers take steps of, as JSON. Long lists are one text, of lines:
--         thousands of small replies take longer to read than all the rest.
local time = redis.call('TIME')
local at = string.format('%d.%06d', time[1], time[2])
local rows
if #ARGV == 1 then
  rows = redis.call('HGETALL', KEYS[1])
else
  rows = {}
  for i = 2, #ARGV do
    rows[#rows + 1] = ARGV[i]
    rows[#rows + 1] = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  end
end
-- Their keys are made here: the set of the names says which there are.
local names, firings = redis.call('SMEMBERS', KEYS[6]), {}
table.sort(names)
for _, name in ipairs(names) do
  firings[#firings + 1] = redis.call('LINDEX', string.sub(KEYS[6], 1, -2) .. ':' .. name .. ':firings', 0) or nil
end
-- A drained worker lives, and takes no step.
local served = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], at - ARGV[1], '+inf')) do
  local said = redis.call('HMGET', KEYS[4]:sub(1, -2) .. ':' .. name, 'drain', 'taking', 'stopping', 'queues')
  if said[1] == '' and said[2] == '1' and said[3] ~= '1' and said[4] then served[said[4]] = true end
end
local queues = {}
for each in pairs(served) do queues[#queues + 1] = each end
return {
  at,
  redis.call('SCARD', KEYS[2]),
  table.concat(rows, '\n'),
  table.concat(redis.call('ZRANGEBYSCORE', KEYS[3], at, '+inf'), '\n'),
  table.concat(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. at, 'WITHSCORES'), '\n'),
  redis.call('ZCOUNT', KEYS[4], at - ARGV[1], '+inf'),
  redis.call('GET', KEYS[5]) or '',
  firings,
  queues,
}
