-- prune: an index loses the members of which nothing is kept any more. KEYS 1 index, a sorted set.
-- ARGV 1 the key of what is kept of a member, `*` for it, 2 `drop`, or `count`: nothing is changed. Answer: how many
local count = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('EXISTS', (string.gsub(ARGV[1], '%*', member))) == 0 then
    count = count + 1
    if ARGV[2] == 'drop' then redis.call('ZREM', KEYS[1], member) end
  end
end
return count
