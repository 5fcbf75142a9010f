-- settle: of an OpenTofu state and its orphans keep one; the others are kept aside. KEYS 1 state, 2 orphans, 3 settled, 4 audit.
-- ARGV 1 the state as it was read, encrypted ('' none), 2 what takes its place, encrypted ('' nothing), 3 retention in seconds,
--      4 what to note as JSON {field: value}, then digest and JSON of each that is put aside.
-- Answer: ok | changed | locked INFO
local found = redis.call('HMGET', KEYS[1], 'state', 'lock')
if (found[1] or '') ~= ARGV[1] then return {'changed'} end
if ARGV[2] ~= '' and found[2] then return {'locked', found[2]} end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'state', ARGV[2]) end
for i = 5, #ARGV, 2 do
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[3], ARGV[3])
local fields = {'at', redis.call('TIME')[1]}
for field, value in pairs(cjson.decode(ARGV[4])) do
  fields[#fields + 1] = field
  fields[#fields + 1] = value
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, '*', unpack(fields))
return {'ok'}
