-- Behind the prelude in settle: active -> completed, for several tasks at once. A cancel that comes later than the
-- result changes nothing: the result stands.

-- The record of an active task with an entry, whose lease this is; else nil, and read() and check() tell what it is.
-- Reads no field that a result does not need: each costs as much as a tenth of a settlement.
local function with_entry(id, fence, incarnation)
  local f = fields(id, 'status', 'fence', 'incarnation', 'entry', 'own', 'priority', 'worker', 'issue')
  if f[1] ~= 'active' or f[2] ~= fence or f[3] ~= incarnation then return nil end
  if not f[4] or f[4] == '' or f[5] == '1' then return nil end
  local repository = f[8] and f[8] ~= '' and fields(id, 'repository')[1] or ''
  return { fence = fence, entry = f[4], priority = RANK[f[6] or ''] and f[6] or 'medium', worker = f[7] or '',
    issue = f[8], repository = repository }
end

-- `tasks`: {id, r, first and last place of field, value ... of the outcome in ARGV, place of the answer} each
local function complete_all(tasks, ms, answers)
  local streams, ids, scores, done = {}, {}, {}, {}
  for _, t in ipairs(tasks) do
    local stream = TASKS .. t.r.priority
    streams[stream] = streams[stream] or {}
    table.insert(streams[stream], t)
  end
  for stream, group in pairs(streams) do
    local entries = {}
    for k, t in ipairs(group) do entries[k] = t.r.entry end
    local acked = redis.pcall('XACK', stream, 'workers', unpack(entries))
    if type(acked) == 'number' then redis.call('XDEL', stream, unpack(entries)) end
    for _, t in ipairs(group) do
      if type(acked) == 'number' then
        ids[#ids + 1] = t.id
        done[#done + 1] = t
      else
        answers[t.place] = { 'error', acked.err }
      end
    end
  end
  if #ids == 0 then return end
  local at = int(ms)
  redis.call('ZREM', LEASES, unpack(ids))
  for k, t in ipairs(done) do
    redis.call('HSET', RECORD .. t.id, 'status', 'completed', 'finished_at', at, 'settled', t.r.fence,
      unpack(ARGV, t.first, t.last))
    redis.call('HDEL', RECORD .. t.id, 'phase', 'nonce', 'entry')
    scores[#scores + 1] = at
    scores[#scores + 1] = t.id
    if k < #done then
      event_among('completed', t.id, 'worker', t.r.worker, 'fence', t.r.fence)
    else
      event('completed', t.id, 'worker', t.r.worker, 'fence', t.r.fence)
    end
    answers[t.place] = { 'done', settle_elsewhere(t.id, t.r) }
  end
  redis.call('ZADD', FINISHED, unpack(scores))
  count('completed', int(#ids))
  trim(FINISHED)
end
