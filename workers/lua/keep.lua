-- keep: store the workspace of a step that failed, if its execution still runs. KEYS 1 run, 2 workspace.
-- ARGV 1 token, 2 execution, 3 digest, 4 archive ('' forgets it). Answer: ok | stale
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'execution') ~= ARGV[2] then
  return 'stale'
end
if ARGV[4] == '' then
  redis.call('DEL', KEYS[2])
else
  redis.call('HSET', KEYS[2], 'digest', ARGV[3], 'archive', ARGV[4])
end
return 'ok'
