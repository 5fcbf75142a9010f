-- Begins every script that moves a run. Times are Redis's own, in Unix seconds with microseconds, as text.
local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function get(key, field)
  return redis.call('HGET', key, field) or ''
end

-- The same nonce gets the same answer: nil when this nonce is new.
local function answered(run, script, nonce)
  if get(run, 'nonce:' .. script) == nonce then
    return cjson.decode(get(run, 'answer:' .. script))
  end
  return nil
end

local function answer(run, script, nonce, words)
  redis.call('HSET', run, 'nonce:' .. script, nonce, 'answer:' .. script, cjson.encode(words))
  return words
end

-- Append what happened to the run's history and to the news of all runs.
local function event(run, run_events, events, what, at, extra)
  local id = redis.call('HMGET', run, 'run', 'epoch', 'environment', 'workflow', 'index', 'total', 'step', 'attempt')
  local names = {'run', 'epoch', 'environment', 'workflow', 'index', 'total', 'step', 'attempt'}
  local fields = {'event', what, 'at', at}
  for i, name in ipairs(names) do
    fields[#fields + 1] = name
    fields[#fields + 1] = id[i] or ''
  end
  for _, value in ipairs(extra or {}) do
    fields[#fields + 1] = value
  end
  redis.call('XADD', run_events, 'MAXLEN', '~', 1000, '*', unpack(fields))
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', unpack(fields))
end

-- Make step `index` of the run due.
local function make_due(run, due, queues, index, at)
  local queue = cjson.decode(get(run, 'queues'))[index]
  local number = redis.call('HINCRBY', queues, 'sent:' .. queue, 1)
  local step = cjson.decode(get(run, 'names'))[index]
  redis.call('HSET', run, 'status', 'queued', 'index', index, 'step', step, 'attempt', 0, 'execution', '',
    'step_started_at', '', 'due_at', at, 'due_number', number)
  redis.call('ZADD', due, at, get(run, 'run'))
end

-- A new epoch of the run begins at step `index`.
local function activate(run, due, queues, index, at)
  redis.call('HINCRBY', run, 'epoch', 1)
  redis.call('HINCRBY', run, 'delivery', 1)
  redis.call('PERSIST', run)
  make_due(run, due, queues, index, at)
end

local function move(environment, state, at, ...)
  redis.call('HINCRBY', environment, 'revision', 1)
  redis.call('HSET', environment, 'state', state, 'updated_at', at, ...)
end
