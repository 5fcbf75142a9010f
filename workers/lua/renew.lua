-- renew: move the leases that still exist. KEYS 1 leases, 2 cancels. ARGV 1 lease in seconds, then executions.
-- Answer: the executions that have none; then each that is to be cancelled, and why, as JSON, by turns.
local time = redis.call('TIME')
local till = time[1] + time[2] / 1000000 + ARGV[1]
local lost, cancelled = {}, {}
local any = redis.call('HLEN', KEYS[2]) > 0
for i = 2, #ARGV do
  local execution = ARGV[i]
  if redis.call('ZSCORE', KEYS[1], execution) then
    redis.call('ZADD', KEYS[1], string.format('%.6f', till), execution)
    local why = any and redis.call('HGET', KEYS[2], string.match(execution, '^[^.]+'))
    if why then
      cancelled[#cancelled + 1] = execution
      cancelled[#cancelled + 1] = why
    end
  else
    lost[#lost + 1] = execution
  end
end
return {lost, cancelled}
