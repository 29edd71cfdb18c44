-- In front of every script. `base` is "<prefix>:{<specialty>}:", the one KEYS entry: all that a script
-- touches begins with it and so lies in one slot. The names of keys are put here from keys.rs.
local base = KEYS[1]

-- Milliseconds and microseconds since the epoch, by Redis' clock, the only one that counts.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t[1] * 1000000 + t[2]
end

-- Numbers go to redis.call as text: `..` would print 16 digits as 1.7e+15.
local function int(n)
  return string.format('%d', n)
end

local RANK = { high = '1', medium = '2', low = '3' }

-- Place in AGAIN: priority first, then age.
local function again_score(priority, created_at)
  return RANK[priority] .. string.format('%014d', created_at)
end

-- Events, counters and the marker tell of tasks; where one is broken, no task waits for it (pcall).
local function event(name, id, ...)
  redis.pcall('XADD', EVENTS, 'MAXLEN', '~', EVENTS_MAX, '*', 'event', name, 'task', id, ...)
end

local function count(name)
  redis.pcall('HINCRBY', STATS, name, '1')
end

-- One marker wakes one waiting worker. It is a hint: a poll finds the task without it.
local function wake()
  redis.pcall('ZADD', WAKE, '0', 'go')
end

-- Tasks that could be claimed now: entries, less those leased or delayed; DIRECT ones have no entry.
local function waiting()
  local entries = 0
  for priority in pairs(RANK) do
    local length = redis.pcall('XLEN', TASKS .. priority)
    if type(length) == 'number' then entries = entries + length end
  end
  return entries - redis.call('ZCARD', LEASES) - redis.call('ZCARD', DELAYED) + redis.call('SCARD', DIRECT)
end

-- Fields of a record. One of another type is no record: it must not stop the tasks beside it.
local function fields(id, ...)
  local f = redis.pcall('HMGET', RECORD .. id, ...)
  return f.err and {} or f
end

-- A field that is a number, or 0 where somebody removed or changed it.
local function num(text)
  return tonumber(text or '0') or 0
end

-- The fields that transitions decide by, as one table.
local function read(id)
  local f = fields(id, 'status', 'fence', 'incarnation', 'settled', 'entry', 'priority', 'created_at', 'cancel',
    'own', 'repository', 'issue', 'attempts', 'lost', 'worker')
  return { status = f[1], fence = f[2], incarnation = f[3], settled = f[4], entry = f[5],
    priority = RANK[f[6] or ''] and f[6] or 'medium', created_at = num(f[7]), cancel = f[8], own = f[9],
    repository = f[10] or '', issue = f[11], attempts = num(f[12]), lost = num(f[13]), worker = f[14] or '' }
end

-- Whether the holder of `fence` may move the task: 'ok', 'already' (it settled it before) or 'stale'.
local function check(r, fence, incarnation)
  if r.fence ~= fence or r.incarnation ~= incarnation then return 'stale' end
  if r.status == 'active' then return 'ok' end
  if r.settled == fence then return 'already' end
  return 'stale'
end

-- Removes the task from its stream and its consumer's pending entries.
local function drop_entry(id, r)
  if r.entry and r.entry ~= '' then
    redis.call('XACK', TASKS .. r.priority, 'workers', r.entry)
    redis.call('XDEL', TASKS .. r.priority, r.entry)
  else
    redis.call('SREM', DIRECT, id)
  end
end

-- From the beginning: a group that was removed by hand delivers again, and claims tell what is whose.
local function make_group(stream)
  redis.call('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
end

-- Makes an entry pending at a consumer, also in a group that does not know of its delivery (FORCE).
local function pend(stream, entry, consumer)
  if redis.pcall('XCLAIM', stream, 'workers', consumer, '0', entry, 'FORCE', 'JUSTID').err then
    make_group(stream)
    redis.call('XCLAIM', stream, 'workers', consumer, '0', entry, 'FORCE', 'JUSTID')
  end
end

-- Entries that nobody works on are pending at the consumer PARKED, so that a worker's own list is what it holds.
local function park_entry(r)
  if r.entry and r.entry ~= '' then pend(TASKS .. r.priority, r.entry, PARKED) end
end

-- Back to where it was in line: before whatever was enqueued after it.
local function give_back(id, r)
  if r.entry and r.entry ~= '' then
    redis.call('ZADD', AGAIN, again_score(r.priority, r.created_at), id)
  else
    local entry = redis.call('XADD', TASKS .. r.priority, '*', 'task', id, 'spec', '')
    redis.call('HSET', RECORD .. id, 'entry', entry)
    redis.call('SREM', DIRECT, id)
  end
  redis.call('HSET', RECORD .. id, 'status', 'pending')
  redis.call('HDEL', RECORD .. id, 'phase', 'due_at')
  wake()
end

-- Two for each one added, so that an index that is over its limits shrinks.
local function trim(index, ms)
  local oldest = redis.call('ZRANGE', index, '0', '1', 'WITHSCORES')
  local excess = redis.call('ZCARD', index) - KEEP_COUNT
  for i = 1, #oldest, 2 do
    if excess > 0 or tonumber(oldest[i + 1]) < ms - KEEP_MS then
      redis.call('UNLINK', RECORD .. oldest[i], SPEC .. oldest[i], LOG .. oldest[i])
      redis.call('ZREM', index, oldest[i])
      excess = excess - 1
    end
  end
end

-- Ends the task for good. What follows in other slots (locator, issue key) is told by the outbox entry,
-- whose id is returned together with the issue. `keep_spec`: for those that a person may want to run again.
local function finish(id, r, status, index, ms, keep_spec, ...)
  if keep_spec and r.own ~= '1' and r.entry and r.entry ~= '' then
    local found = redis.call('XRANGE', TASKS .. r.priority, r.entry, r.entry)
    if found[1] then redis.call('SET', SPEC .. id, found[1][2][4]) end
  elseif not keep_spec and r.own == '1' then
    redis.call('UNLINK', SPEC .. id)
  end
  drop_entry(id, r)
  redis.call('ZREM', LEASES, id)
  redis.call('HSET', RECORD .. id, 'status', status, 'finished_at', int(ms), 'settled', r.fence or '0',
    'own', keep_spec and '1' or '0', ...)
  redis.call('HDEL', RECORD .. id, 'phase', 'nonce', 'entry', 'due_at')
  redis.call('ZADD', index, int(ms), id)
  count(status)
  trim(index, ms)
  local issue = ''
  if r.issue and r.issue ~= '' then issue = r.repository .. '#' .. r.issue end
  return redis.call('XADD', OUTBOX, '*', 'task', id, 'issue', issue), issue
end

-- The end of a task that somebody asked to cancel, as every script answers it.
local function finish_cancelled(id, r, ms, by)
  local outbox, issue = finish(id, r, 'cancelled', CANCELLED, ms, true, 'message', by)
  event('cancelled', id, 'by', by)
  return { 'cancelled', outbox, issue }
end
