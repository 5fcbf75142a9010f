-- renew: move the leases that still exist. KEYS 1 leases. ARGV 1 lease in seconds, then executions.
-- Answer: the executions that have none.
local time = redis.call('TIME')
local till = time[1] + time[2] / 1000000 + ARGV[1]
local lost = {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], string.format('%.6f', till), ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
