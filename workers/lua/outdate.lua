-- outdate: a hash of JSON loses the fields that are too old. KEYS 1 hash.
-- ARGV 1 what their JSON calls its time, 2 how many seconds they are kept, 3 `drop`, or `count`: nothing is changed. Answer: how many
local count, oldest = 0, redis.call('TIME')[1] - ARGV[2]
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if cjson.decode(fields[i + 1])[ARGV[1]] < oldest then
    count = count + 1
    if ARGV[3] == 'drop' then redis.call('HDEL', KEYS[1], fields[i]) end
  end
end
return count
