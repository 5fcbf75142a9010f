-- correct: make rows of the overview agree with the records: of environments that an older version wrote, or whose run is past its retention.
-- KEYS 1 overview, 2 environments, then environments. ARGV their names. Answer: how many rows were not right
local wrong = 0
for i, name in ipairs(ARGV) do
  local row, is = redis.call('HGET', KEYS[1], name), nil
  if redis.call('SISMEMBER', KEYS[2], name) == 1 then
    local _, _, found = row_of(KEYS[2 + i])
    is = found
  end
  if is and is ~= row then
    redis.call('HSET', KEYS[1], name, is)
    wrong = wrong + 1
  elseif row and not is then
    redis.call('HDEL', KEYS[1], name)
    wrong = wrong + 1
  end
end
return wrong
