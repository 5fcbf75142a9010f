-- launch: claim an environment and make a step due.
-- KEYS 13 next run (or the run), 14 environments, 15 runs of the environment, 16 server
-- ARGV 1 nonce, 2 request as JSON: environment, schema, spec, revision ('' any), sources, user, trigger, options, forget_state, retention, provider,
--      runs [{field: value}] or resume {epoch, at: the index that was read, index, options ('' keep), deadline in seconds ('' keep), skip: why the step at index is left out ('' it is not)}
-- Answer: ok RUN EPOCH DELIVERY | busy RUN | held SECONDS | state STATE | conflict REVISION | schema SCHEMA | provider NAME
local next_run, environments, runs, server = unpack(KEYS, 13)
local nonce, request = ARGV[1], cjson.decode(ARGV[2])

local again = answered('launch', nonce)
if again then return again end

local at = now()
local live = get(environment, 'run')
if live ~= '' then return {'busy', live} end
local held = (tonumber(get(environment, 'held_until')) or 0) - at
if held > 0 then return {'held', string.format('%.1f', held)} end

local schema = get(environment, 'schema')
if schema ~= '' and schema ~= request.schema then return {'schema', schema} end

local state = get(environment, 'state')
local revision = get(environment, 'revision')
if request.revision ~= '' and request.revision ~= revision then return {'conflict', revision} end

local function contains(list, word)
  for _, each in ipairs(list) do
    if each == word then return true end
  end
  return false
end

-- Another provider would not know the host that there is: first destroy it.
local function another_provider()
  local spec = get(environment, 'spec')
  if spec == '' or request.provider == '' or state == 'created' or state == request.forget_state then return nil end
  local known = cjson.decode(spec).provider.name
  return known ~= request.provider and known or nil
end

local function ok(what)
  event(run, run_events, what, at, {'state', get(run, 'running_state'), 'user', request.user, 'trigger', request.trigger})
  return answer('launch', nonce, {'ok', get(run, 'run'), get(run, 'epoch'), get(run, 'delivery')})
end

local function write(key, fields, following)
  for field, value in pairs(fields) do redis.call('HSET', key, field, value) end
  redis.call('HSET', key, 'environment', request.environment, 'user', request.user, 'trigger', request.trigger,
    'options', request.options, 'schema', request.schema, 'created_at', at, 'status', 'pending', 'epoch', 0,
    'delivery', 0, 'partial', 0, 'origin_state', state, 'next', following)
  redis.call('EXPIRE', key, request.retention)
  redis.call('ZADD', runs, at, fields.run)
  redis.call('ZREMRANGEBYRANK', runs, 0, -101)
end

local function fresh()
  came_back(server, at)
  local unknown = state == ''
  if unknown then state = 'created' end
  if not contains(request.sources, state) then return {'state', state} end
  if another_provider() then return {'provider', another_provider()} end
  if unknown then
    redis.call('SADD', environments, request.environment)
    redis.call('HSET', environment, 'schema', request.schema, 'name', request.environment, 'created_at', at, 'revision', 0)
  end
  if state == request.forget_state then redis.call('DEL', facts) end
  local first, second = request.runs[1], request.runs[2]
  write(run, first, second and second.run or '')
  if second then write(next_run, second, '') end
  begin(run, 1, at)
  move(first.running_state, at, 'run', first.run)
  if first.done_state == '' then  -- a plan leaves the environment as it was, also what can be resumed
    redis.call('HSET', run, 'spec', request.spec)
    redis.call('HSETNX', environment, 'spec', request.spec)
  else
    redis.call('HSET', environment, 'last_run', first.run, 'spec', request.spec)
  end
  return ok('launched')
end

local function resume()
  local status, failed = get(run, 'status'), get(run, 'failed_state')
  if failed == '' then failed = get(run, 'origin_state') end
  if status ~= 'failed' and status ~= 'cancelled' then return {'state', status} end
  if get(environment, 'last_run') ~= get(run, 'run') or state ~= failed then return {'state', state} end
  if get(run, 'epoch') ~= request.resume.epoch or get(run, 'index') ~= request.resume.at then return {'conflict', get(run, 'epoch')} end
  if another_provider() then return {'provider', another_provider()} end
  outdate(came_back(server, at), get(run, 'ended_at'), request.resume.index, at)
  redis.call('HSET', run, 'failure', '', 'ended_at', '', 'user', request.user, 'trigger', request.trigger)
  redis.call('PERSIST', run_events)
  redis.call('PERSIST', next_run)
  if request.resume.deadline ~= '' then redis.call('HSET', run, 'deadline_seconds', request.resume.deadline) end
  begin(run, request.resume.index, at)
  if request.resume.options ~= '' then redis.call('HSET', run, 'options', request.resume.options) end
  if request.resume.skip ~= '' then redis.call('HSET', run, 'skip:' .. request.resume.index, request.resume.skip) end
  local spec = request.spec ~= '' and request.spec or get(environment, 'spec')
  move(get(run, 'running_state'), at, 'run', get(run, 'run'), 'spec', spec)
  return ok('resumed')
end

if request.resume then return resume() end
return fresh()
