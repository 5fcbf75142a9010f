-- drain: order a worker to take no new step, or to take steps again. KEYS 1 worker. ARGV 1 who orders it ('' take steps again).
-- Answer: 1 | 0, there is no such worker
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'order', 1)
redis.call('HSET', KEYS[1], 'drain', ARGV[1])
return 1
