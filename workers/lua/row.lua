-- Begins every script that changes what the overview says: a row for each environment, so that to look at a fleet reads no record.
-- Its fields are told apart by tabs; workers/overviewrow.py reads them. A later version adds fields at the end.

-- The overview's key, an environment's name and its row, as its record and that of its run are now; nil if there is no record.
-- The keys are made here and not given, for it stands in the record which run it is: after a plan, that of before.
local function row_of(environment)
  local known = redis.call('HMGET', environment, 'name', 'schema', 'state', 'partial', 'updated_at', 'drift', 'run', 'last_run')
  local name = table.remove(known, 1)
  if not name then return nil end
  local prefix = string.sub(environment, 1, -5 - #name)
  local last, live = table.remove(known), table.remove(known)
  local run = prefix .. 'run:' .. ((live and live ~= '') and live or last or '')
  local place = redis.call('HMGET', run, 'run', 'epoch', 'workflow', 'index', 'total', 'step', 'status', 'attempt', 'partial', 'execution',
    'worker', 'due_at', 'step_started_at', 'started_at', 'created_at', 'ended_at', 'ending_seconds', 'next', 'most', 'begun_at', 'queues', 'schema', 'failure')
  local failure, schema, index = table.remove(place) or '', table.remove(place) or '', place[4] or ''
  local queues = table.remove(place) or ''
  local begun_at = table.remove(place) or ''
  local counts = redis.call('HMGET', run, 'retried:' .. index, 'taken:' .. index, 'earlier:' .. index)
  local earlier = counts[3] and cjson.decode(counts[3]) or {}
  local row = {}
  for i = 1, 4 do row[i] = known[i] or '' end
  for i = 1, 19 do row[4 + i] = place[i] or '' end
  -- A quote within a text of the context has a backslash before it: this can only be the field itself.
  row[24] = string.match(failure, '"error_kind":"([^"]*)"') or ''
  row[25], row[26] = counts[1] or '', counts[2] or ''
  row[27] = #earlier > 0 and earlier[#earlier].kind or ''
  row[28] = schema
  row[29] = (known[5] and known[5] ~= '') and '1' or ''
  row[30] = begun_at
  -- In which queue it waits; of the others nobody asks.
  row[31] = place[7] == 'queued' and queues ~= '' and cjson.decode(queues)[tonumber(index) or 1] or ''
  return prefix .. 'overview', name, table.concat(row, '\t')
end

local function show(environment)
  local overview, name, row = row_of(environment)
  if name then redis.call('HSET', overview, name, row) end
end
