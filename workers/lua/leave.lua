-- leave: a worker ends, and takes its record with it. KEYS 1 worker, 2 workers. ARGV 1 name, 2 instance. Answer: 1 | 0, it was another's
if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
