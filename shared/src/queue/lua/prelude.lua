-- In front of every script, as far as the script needs it: a paragraph is left out where nothing behind it names
-- what it defines. `base` is "<prefix>:{<specialty>}:", the one KEYS entry: all that a script touches begins with
-- it and so lies in one slot. The names of keys are put here from keys.rs; those that begin with the prefix alone
-- (LOCATOR, ISSUE, SPECIALTIES) lie in other slots and are nil on a Cluster.
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
-- Of suspects: one more lost worker would end them, so that they run alone.
local SUSPECT_RANK = { high = '4', medium = '5', low = '6' }

-- Place in AGAIN: rank first, then age.
local function again_score(r)
  local rank = r.lost >= SUSPECT_LOST and SUSPECT_RANK or RANK
  return rank[r.priority] .. string.format('%014d', r.created_at)
end

-- The first and the last place in AGAIN of a rank.
local function places(rank)
  return rank .. string.format('%014d', 0), rank .. string.format('%014d', 99999999999999)
end

-- Events, counters and the marker tell of tasks; where one is broken, no task waits for it (pcall).
local function event(name, id, ...)
  redis.pcall('XADD', EVENTS, 'MAXLEN', '~', EVENTS_MAX, '*', 'event', name, 'task', id, ...)
end

-- The same without keeping the stream within its length, which costs as much again: for one of several events of a
-- call, and where an event of the same task is sure to follow.
local function event_among(name, id, ...)
  redis.pcall('XADD', EVENTS, '*', 'event', name, 'task', id, ...)
end

local function count(name, by)
  redis.pcall('HINCRBY', STATS, name, by or '1')
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
  local entry = r.entry
  if not entry or entry == '' then
    entry = redis.call('XADD', TASKS .. r.priority, '*', 'task', id, 'spec', '')
    redis.call('HSET', RECORD .. id, 'entry', entry)
    redis.call('SREM', DIRECT, id)
    if r.lost >= SUSPECT_LOST then pend(TASKS .. r.priority, entry, PARKED) end
  end
  if (r.entry and r.entry ~= '') or r.lost >= SUSPECT_LOST then redis.call('ZADD', AGAIN, again_score(r), id) end
  redis.call('HSET', RECORD .. id, 'status', 'pending')
  redis.call('HDEL', RECORD .. id, 'phase', 'due_at')
  wake()
end

-- Forgets settled tasks for good: records, kept specifications, logs and the locators that name this specialty. Where
-- these are not at hand an outbox entry tells of them, unless so much is due that they had better end by themselves.
local function forget(index, ids)
  local OUTBOX_MAX = 1000
  if #ids == 0 then return end
  local gone, locators = {}, {}
  for k, id in ipairs(ids) do
    gone[#gone + 1] = RECORD .. id
    gone[#gone + 1] = SPEC .. id
    gone[#gone + 1] = LOG .. id
    if LOCATOR then locators[k] = LOCATOR .. id end
  end
  if LOCATOR then
    local here = string.match(base, '{(.*)}')
    for k, named in ipairs(redis.call('MGET', unpack(locators))) do
      if named == here then gone[#gone + 1] = locators[k] end
    end
  end
  if not LOCATOR and redis.call('XLEN', OUTBOX) < OUTBOX_MAX then
    redis.call('XADD', OUTBOX, '*', 'task', table.concat(ids, ' '), 'issue', '')
  end
  redis.call('UNLINK', unpack(gone))
  redis.call('ZREM', index, unpack(ids))
end

-- Keeps an index of settled tasks within its number. A thousandth more goes at once, so that most settlements
-- have nothing to remove; never fewer than one call adds.
local function trim(index)
  local excess = redis.call('ZCARD', index) - KEEP_COUNT
  if excess <= 0 then return end
  local FORGET_MAX = 100
  local most = math.min(excess + math.floor(KEEP_COUNT / 1000), FORGET_MAX)
  forget(index, redis.call('ZRANGE', index, '0', int(most - 1)))
end

-- What follows in other slots: the locator has an end and the issue is free again. Where they are at hand it is
-- done here; on a Cluster an outbox entry tells of it, whose id is returned together with the issue.
local function settle_elsewhere(id, r, life_ms)
  local issue = ''
  if r.issue and r.issue ~= '' then issue = r.repository .. '#' .. r.issue end
  if not LOCATOR then return redis.call('XADD', OUTBOX, '*', 'task', id, 'issue', issue), issue end
  redis.call('PEXPIRE', LOCATOR .. id, life_ms or LOCATOR_MS)
  if issue ~= '' then
    local key = ISSUE .. string.lower(issue)
    if redis.pcall('GET', key) == id then redis.call('UNLINK', key) end
  end
  return '', ''
end

-- Ends the task for good and returns what settle_elsewhere does. `keep_spec`: for those that a person may want
-- to run again.
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
  trim(index)
  return settle_elsewhere(id, r)
end

-- The end of a task that somebody asked to cancel, as every script answers it.
local function finish_cancelled(id, r, ms, by)
  local outbox, issue = finish(id, r, 'cancelled', CANCELLED, ms, true, 'message', by)
  event('cancelled', id, 'by', by)
  return { 'cancelled', outbox, issue }
end
