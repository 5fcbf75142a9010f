-- Begins every script that moves a run. Times are Redis's own, in Unix seconds with microseconds, as text.
-- KEYS 1 run, 2 its events, 3 environment, 4 facts, 5 due, 6 leases, 7 queues, 8 events, 9 retries, 10 cancels, 11 deadlines, 12 paused
local run, run_events, environment, facts, due, leases, queues, events, retries, cancels, deadlines, paused = unpack(KEYS, 1, 12)

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function get(key, field)
  return redis.call('HGET', key, field) or ''
end

-- Fields of a hash by their names, in one call; '' where there is none.
local function fields(key, ...)
  local found, values = {}, redis.call('HMGET', key, ...)
  for i, name in ipairs({...}) do found[name] = values[i] or '' end
  return found
end

-- The same nonce gets the same answer: nil when this nonce is new.
local function answered(script, nonce)
  if get(run, 'nonce:' .. script) == nonce then
    return cjson.decode(get(run, 'answer:' .. script))
  end
  return nil
end

-- What a script ends with that has changed something.
local function answer(script, nonce, words)
  redis.call('HSET', run, 'nonce:' .. script, nonce, 'answer:' .. script, cjson.encode(words))
  show(environment)
  return words
end

-- Append what happened to a run's history and to the news of all runs.
local function event(of, its_events, what, at, extra)
  local names = {'run', 'epoch', 'environment', 'workflow', 'index', 'total', 'step', 'attempt', 'rollout'}
  local values = redis.call('HMGET', of, unpack(names))
  local entry = {'event', what, 'at', at}
  for i, name in ipairs(names) do
    entry[#entry + 1] = name
    entry[#entry + 1] = values[i] or ''
  end
  for _, value in ipairs(extra or {}) do
    entry[#entry + 1] = value
  end
  redis.call('XADD', its_events, 'MAXLEN', '~', 1000, '*', unpack(entry))
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', unpack(entry))
end

-- When Redis came back last: since when it has the run_id that it has. 0: it has had no other one. Who sees it first notes it.
local function came_back(server, at)
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local known = fields(server, 'run_id', 'back_at')
  if known.run_id == run_id then return tonumber(known.back_at) or 0 end
  local back_at = known.run_id == '' and 0 or at
  redis.call('HSET', server, 'run_id', run_id, 'back_at', back_at)
  return tonumber(back_at)
end

-- Make step `index` of a run due.
local function make_due(of, index, at)
  local known = fields(of, 'run', 'queues', 'names')
  local queue, step = cjson.decode(known.queues)[index], cjson.decode(known.names)[index]
  local number = redis.call('HINCRBY', queues, 'sent:' .. queue, 1)
  redis.call('HSET', of, 'status', 'queued', 'index', index, 'step', step, 'attempt', 0, 'execution', '',
    'step_started_at', '', 'due_at', at, 'due_number', number)
  redis.call('ZADD', due, at, known.run)
end

-- A new epoch of a run begins at step `index`.
local function activate(of, index, at)
  redis.call('HINCRBY', of, 'epoch', 1)
  redis.call('HINCRBY', of, 'delivery', 1)
  make_due(of, index, at)
end

-- An operator's leave to go on, from step `index`: the counts and the run's deadline begin anew.
local function begin(of, index, at)
  redis.call('HSET', of, 'begun_at', at)
  for each = index, tonumber(get(of, 'total')) do
    redis.call('HDEL', of, 'ended:' .. each, 'retried:' .. each, 'taken:' .. each, 'resent:' .. each, 'skip:' .. each)
  end
  local seconds = get(of, 'deadline_seconds')
  if seconds ~= '' then
    redis.call('HSET', of, 'deadline_at', at + seconds)
    redis.call('ZADD', deadlines, at + seconds, get(of, 'run'))
  end
  local partial = 0
  for each = 1, index - 1 do
    local ended = get(of, 'ended:' .. each)
    if ended ~= '' and cjson.decode(ended).ending == 'not-possible' then partial = 1 end
  end
  redis.call('HSET', of, 'partial', partial)
  redis.call('PERSIST', of)
  activate(of, index, at)
end

-- Nobody knows what the execution of step `index` has done; what an operator said of an earlier one does not hold for it.
local function doubt(index)
  local options = cjson.decode(get(run, 'options'))
  options.nothing_made = false
  redis.call('HSET', run, 'uncertain:' .. index, 1, 'options', cjson.encode(options))
end

-- Where Redis has come back since the run stood at step `index`, the run may have been further. Nobody knows what its steps from there
-- on have done; and the epochs that are forgotten, fewer than one a second, are not given again: hosts still know them.
local function outdate(back_at, written_at, index, at)
  if tonumber(written_at) >= back_at then return end
  for each = tonumber(index), tonumber(get(run, 'total')) do doubt(each) end
  redis.call('HINCRBY', run, 'epoch', math.floor(at - written_at))
end

-- When the place of a live run was written, or before.
local function written_at()
  local started_at = get(run, 'step_started_at')
  return started_at ~= '' and started_at or get(run, 'due_at')
end

-- Keep what became of the step's present attempt: another one follows. Of many attempts, the last 20.
local function remember(index, what, at)
  local earlier = get(run, 'earlier:' .. index)
  earlier = earlier == '' and {} or cjson.decode(earlier)
  what.attempt, what.at = tonumber(get(run, 'attempt')), tonumber(at)
  earlier[#earlier + 1] = what
  if #earlier > 20 then table.remove(earlier, 1) end
  redis.call('HSET', run, 'earlier:' .. index, cjson.encode(earlier))
end

-- The run has ended: nothing waits for it any more.
local function close(status, at, retention)
  local id = get(run, 'run')
  redis.call('ZREM', leases, get(run, 'execution'))
  redis.call('HSET', run, 'status', status, 'ended_at', at, 'execution', '')
  redis.call('HDEL', run, 'spec', 'nonce:start', 'answer:start')  -- nothing starts any more
  for _, key in ipairs({due, retries, deadlines}) do redis.call('ZREM', key, id) end
  redis.call('HDEL', cancels, id)
  redis.call('EXPIRE', run, retention)
  redis.call('EXPIRE', run_events, retention)
end

local function move(state, at, ...)
  redis.call('HINCRBY', environment, 'revision', 1)
  redis.call('HSET', environment, 'state', state, 'updated_at', at, ...)
end

-- The run leaves the environment in `state`; a plan, or a check, has none, and leaves it as it was, also since when.
local function leave(state, at, ...)
  local since = state == '' and get(run, 'origin_updated_at') or ''
  move(state == '' and get(run, 'origin_state') or state, since ~= '' and since or at, ...)
end

-- Seconds until a tool whose lease lapsed, or a message that was due, has had `patience`; '' is none at all.
-- Whoever asks may be set up otherwise than the worker that runs the tool: the more patient of both counts.
local function left(execution, patience, at)
  if patience == '' then return 0 end
  if execution == '' then return get(run, 'due_at') + patience - at end
  local lapsed = tonumber(redis.call('ZSCORE', leases, execution)) or 0
  return lapsed + math.max(patience, tonumber(get(run, 'ending_seconds')) or 0) - at
end

-- The answer of who has ended the run: its rollout, if it has one, is to hear of it.
local function freed(status)
  local rollout = get(run, 'rollout')
  return rollout == '' and {'ok', status} or {'ok', status, rollout}
end
