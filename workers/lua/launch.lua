-- launch: claim an environment and make a step due.
-- KEYS 13 next run (or the run), 14 environments, 15 runs, or checks, of the environment, 16 server; for a rollout:
--      17 rollout, 18 its pending environments of the provider, 19 its slots, 20 its specs
-- ARGV 1 nonce, 2 request as JSON: environment, schema, spec, revision ('' any), sources, user, trigger, options, forget_state, retention, provider,
--      rollout {id, provider} ('' none), history: how many runs of the environment are kept, kept: the keys of such a run, `*` for its id,
--      runs [{field: value}] or resume {epoch, at: the index that was read, index, options ('' keep), deadline in seconds ('' keep), skip: why the step at index is left out ('' it is not)}
-- Answer: ok RUN EPOCH DELIVERY | busy RUN | held SECONDS | state STATE | conflict REVISION | schema SCHEMA | provider NAME
--         | slot WHY: the rollout does not start this environment now
local next_run, environments, runs, server, rollout, pending, slots, specs = unpack(KEYS, 13, 20)
local nonce, request = ARGV[1], cjson.decode(ARGV[2])

local again = answered('launch', nonce)
if again then return again end

-- Why a rollout does not start this environment now; nil: it may.
local function no_slot()
  if request.rollout == '' then return nil end
  if get(rollout, 'status') ~= 'running' then return 'the rollout is ' .. get(rollout, 'status') end
  local place = redis.call('ZSCORE', pending, request.environment)
  if not place then return 'started' end
  if tonumber(place) > tonumber(get(rollout, 'wave_end')) then return 'another wave' end
  if redis.call('HLEN', slots) >= tonumber(get(rollout, 'max_parallel')) then return 'full' end
  local most = tonumber(cjson.decode(get(rollout, 'per_provider'))[request.rollout.provider])
  if most and (tonumber(get(rollout, 'live:' .. request.rollout.provider)) or 0) >= most then return 'full' end
  return nil
end

local slot = no_slot()
if slot then return {'slot', slot} end

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

-- In the same moment: the environment is the rollout's no longer to start, and its run holds a slot.
local function take_slot()
  if request.rollout == '' then return end
  redis.call('ZREM', pending, request.environment)
  redis.call('HDEL', specs, request.environment)
  redis.call('HSET', slots, request.environment, get(run, 'run') .. ' ' .. request.rollout.provider)
  redis.call('HINCRBY', rollout, 'started', 1)
  redis.call('HINCRBY', rollout, 'live:' .. request.rollout.provider, 1)
  for _, key in ipairs({run, next_run}) do
    if redis.call('EXISTS', key) == 1 then redis.call('HSET', key, 'rollout', request.rollout.id) end
  end
end

local function ok(what)
  take_slot()
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
end

-- The oldest runs leave the history, with all that is kept of them; but not the one that can be resumed.
local function shorten_history()
  for _, old in ipairs(redis.call('ZRANGE', runs, 0, -request.history - 1)) do
    if old ~= get(environment, 'last_run') then
      redis.call('ZREM', runs, old)
      for _, key in ipairs(request.kept) do redis.call('UNLINK', (string.gsub(key, '%*', old))) end
    end
  end
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
  local since = get(environment, 'updated_at')
  move(first.running_state, at, 'run', first.run)
  if first.done_state == '' then  -- a plan, or a check, leaves the environment as it was, also what can be resumed
    redis.call('HSET', run, 'spec', request.spec, 'origin_updated_at', since)
    redis.call('HSETNX', environment, 'spec', request.spec)
  else
    redis.call('HSET', environment, 'last_run', first.run, 'spec', request.spec)
  end
  shorten_history()
  return ok('launched')
end

local function resume()
  local status, failed = get(run, 'status'), get(run, 'failed_state')
  if failed == '' then failed = get(run, 'origin_state') end
  if status ~= 'failed' and status ~= 'cancelled' then return {'state', status} end
  if get(environment, 'last_run') ~= get(run, 'run') or state ~= failed then return {'state', state} end
  if get(run, 'epoch') ~= request.resume.epoch or get(run, 'index') ~= request.resume.at then return {'conflict', get(run, 'epoch')} end
  if another_provider() then return {'provider', another_provider()} end
  local failure = get(run, 'failure')
  if failure ~= '' then
    failure = cjson.decode(failure)
    local what = {kind = failure.error_kind, summary = failure.error_summary, trace_id = failure.trace_id}
    remember(get(run, 'index'), what, get(run, 'ended_at'))
  end
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
