-- rollout: something happens to a rollout. Said twice, it happens once.
-- KEYS 1 rollout, 2 its events, 3 slots, 4 outcomes, 5 specs, 6 live rollouts; 7 pending environments of the provider;
--      8 run, 9 the run that goes on after it (or the run)
-- ARGV 1 what, 2 environment, 3 run, 4 who, 5 why, 6 fields to change as JSON
--      ended: the environment's run has, or is gone. left-out: it cannot be launched; why is its outcome as JSON. begin, pause, resume, cancel, drop: by whom, and why.
--      begin: of one that is drafted, and that nobody has resumed since. drop: the same is cancelled.
-- Answer: ok STATUS | already STATUS | live | gone
local rollout, its_events, slots, outcomes, specs, live_rollouts, pending, run, next_run = unpack(KEYS)
local what, environment, id, who, why, changes = unpack(ARGV)

if redis.call('EXISTS', rollout) == 0 then return {'gone'} end
local time = redis.call('TIME')
local at = string.format('%d.%06d', time[1], time[2])

local function get(key, field)
  return redis.call('HGET', key, field) or ''
end

local function number(field)
  return tonumber(redis.call('HGET', rollout, field)) or 0
end

local function event(name, ...)
  redis.call('XADD', its_events, 'MAXLEN', '~', 1000, '*', 'event', name, 'at', at, ...)
end

local function pause(by, reason)
  redis.call('HSET', rollout, 'status', 'paused', 'changed_by', by, 'reason', reason, 'changed_at', at)
  event('paused', 'by', by, 'reason', reason)
end

-- One failure more: a rule that tolerates no more pauses the rollout.
local function charge(step, kind)
  for i, rule in ipairs(cjson.decode(get(rollout, 'rules'))) do
    if (rule.step == '' or rule.step == step) and (rule.kind == '' or rule.kind == kind) then
      local used = redis.call('HINCRBY', rollout, 'used:' .. i, 1)
      if used > rule.failures and get(rollout, 'status') == 'running' then
        local words = {used .. (used == 1 and ' failure' or ' failures')}
        if rule.step ~= '' then words[#words + 1] = 'at ' .. rule.step end
        if rule.kind ~= '' then words[#words + 1] = 'of kind ' .. rule.kind end
        pause('the budget', table.concat(words, ' ') .. ', ' .. rule.failures .. ' tolerated')
      end
    end
  end
end

-- The run whose end counts: the one that goes on after it, once that one has begun.
local function last_run()
  if next_run ~= run and get(run, 'status') == 'succeeded' and redis.call('EXISTS', next_run) == 1 then return next_run end
  return run
end

local function outcome_of(key)
  local status = get(key, 'status')
  if status == '' then return {status = 'gone', run = id} end
  local found = {status = status, run = get(key, 'run'), workflow = get(key, 'workflow'), partial = get(key, 'partial') == '1'}
  local failure = get(key, 'failure')
  if failure ~= '' and status ~= 'succeeded' then
    local context = cjson.decode(failure)
    found.step, found.kind = context.failed_step, context.error_kind
  end
  local drift = get(key, 'drift')
  if drift ~= '' then found.drift = drift end
  return found
end

-- The wave has ended: the next one begins, unless an operator is to look first.
local function next_wave(total)
  local canary = number('wave') == 1 and get(rollout, 'canary_then') or ''
  local batch = number('batch')
  local from = number('wave_end') + 1
  redis.call('HINCRBY', rollout, 'wave', 1)
  redis.call('HSET', rollout, 'wave_end', batch > 0 and math.min(total, number('wave_end') + batch) or total)
  event('wave', 'wave', get(rollout, 'wave'), 'from', from, 'until', get(rollout, 'wave_end'))
  local bad = number('ended') - number('succeeded') + number('left_out') - number('left_out_before')
  if canary == 'pause' then
    pause('the canary', 'it has ended, ' .. (bad == 0 and 'all well' or bad .. ' not well') .. ': look, then resume')
  elseif canary == 'go-on' and bad > 0 then
    pause('the canary', bad .. ' of it did not go well')
  end
end

-- Nothing of it starts any more. The keys of its providers are made here: there may be several.
local function drop_pending()
  for _, provider in ipairs(cjson.decode(get(rollout, 'providers'))) do
    redis.call('DEL', rollout .. ':pending:' .. provider)
  end
  redis.call('DEL', specs)
end

local function close(total)
  local status = get(rollout, 'status')
  if status ~= 'cancelled' then status = number('succeeded') == total and 'succeeded' or 'failed' end
  redis.call('HSET', rollout, 'status', status, 'ended_at', at)
  redis.call('SREM', live_rollouts, get(rollout, 'rollout'))
  drop_pending()
  for _, key in ipairs({rollout, its_events, outcomes}) do redis.call('EXPIRE', key, get(rollout, 'retention')) end
  event('ended', 'status', status)
end

-- Whatever has happened: is the wave over, or all?
local function go_on()
  local total, handled = number('total'), number('started') + number('left_out')
  if redis.call('HLEN', slots) > 0 then return end
  if handled == total or get(rollout, 'status') == 'cancelled' then
    close(total)
  elseif handled >= number('wave_end') and get(rollout, 'status') == 'running' then
    next_wave(total)
  end
end

local function ended()
  local held, provider = string.match(get(slots, environment), '^(%S+) (%S+)$')
  if held ~= id then return 'already' end
  local found = outcome_of(last_run())
  if found.status == 'queued' or found.status == 'running' or found.status == 'waiting' then return 'live' end
  redis.call('HDEL', slots, environment)
  redis.call('HSET', outcomes, environment, cjson.encode(found))
  for _, field in ipairs({'ended', found.status}) do redis.call('HINCRBY', rollout, field, 1) end
  redis.call('HINCRBY', rollout, 'live:' .. provider, -1)
  if found.partial then redis.call('HINCRBY', rollout, 'partial', 1) end
  if found.drift then redis.call('HINCRBY', rollout, 'drifted', 1) end
  if found.status == 'failed' or found.status == 'gone' then charge(found.step, found.kind) end
end

local function left_out()
  if redis.call('ZREM', pending, environment) == 0 then return 'already' end
  redis.call('HDEL', specs, environment)
  redis.call('HSET', outcomes, environment, why)
  redis.call('HINCRBY', rollout, 'left_out', 1)
end

local function steer(from, to)
  if not string.find(from, get(rollout, 'status'), 1, true) or get(rollout, 'ended_at') ~= '' then return 'already' end
  redis.call('HSET', rollout, 'status', to, 'changed_by', who, 'reason', why, 'changed_at', at)
  local said = what == 'resume' and changes ~= '{}' and {'changes', changes} or {}
  event(({begin = 'begun', resume = 'resumed'})[what] or to, 'by', who, 'reason', why, unpack(said))
end

-- An operator's leave to go on: what was tolerated, and the deadline, begin anew.
local function resume()
  local refused = steer('paused', 'running')
  if refused then return refused end
  redis.call('HDEL', rollout, 'drafted')
  for field, value in pairs(cjson.decode(changes)) do redis.call('HSET', rollout, field, value) end
  for i = 1, #cjson.decode(get(rollout, 'rules')) do redis.call('HDEL', rollout, 'used:' .. i) end
  local seconds = get(rollout, 'deadline_seconds')
  if seconds ~= '' then redis.call('HSET', rollout, 'deadline_at', at + seconds) end
end

local function cancel()
  local refused = steer('running paused', 'cancelled')
  if not refused then drop_pending() end
  return refused
end

-- What was drafted begins, once: what somebody or something has paused since stays so.
local function begin()
  if get(rollout, 'drafted') == '' then return 'already' end
  return resume()
end

local function drop()
  if get(rollout, 'drafted') == '' then return 'already' end
  return cancel()
end

local deeds = {
  ended = ended, ['left-out'] = left_out, begin = begin, resume = resume,
  pause = function() return steer('running', 'paused') end,
  cancel = cancel,
  drop = drop,
}
local refused = deeds[what]()
if refused == 'live' then return {'live'} end
if not refused then go_on() end
return {refused or 'ok', get(rollout, 'status')}
