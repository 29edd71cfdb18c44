-- Behind the prelude in the scripts that a person's wishes go through.

-- States in which nobody works on a task, and those of a task on its way to another specialty.
local WAITS = { held = true, pending = true, delayed = true }
local IN_TRANSIT = { moving = true, arriving = true }

-- A new entry in the stream of `priority`, which is delivered already: its place is said by AGAIN or DELAYED.
local function park(id, priority, spec)
  local entry = redis.call('XADD', TASKS .. priority, '*', 'task', id, 'spec', spec)
  pend(TASKS .. priority, entry, PARKED)
  return entry
end

-- Writes down that locator and issue key are to follow the record: entry and issue, for the answer.
local function effect(id, r)
  local issue = ''
  if r.issue and r.issue ~= '' then issue = r.repository .. '#' .. r.issue end
  return redis.call('XADD', OUTBOX, '*', 'task', id, 'issue', issue), issue
end

-- The same of a task that has come, or lives again; where they are at hand it is done here. A worker's user may not
-- make a locator that is missing (pcall).
local function lives_elsewhere(id, r)
  if not LOCATOR then return effect(id, r) end
  redis.pcall('SET', LOCATOR .. id, string.match(base, '{(.*)}'), 'NX')
  redis.call('PERSIST', LOCATOR .. id)
  if r.issue and r.issue ~= '' then
    local key = ISSUE .. string.lower(r.repository .. '#' .. r.issue)
    local named = redis.pcall('GET', key)
    -- Another task that has it keeps it: then this one is cancelled by the worker that claims it.
    if not named or named == id then redis.call('SET', key, id) end
  end
  return '', ''
end

-- The same of a task that is gone; where they are at hand it is done here.
local function gone_elsewhere(id, r)
  if not LOCATOR then return effect(id, r) end
  if redis.pcall('GET', LOCATOR .. id) ~= string.match(base, '{(.*)}') then return '', '' end
  return settle_elsewhere(id, r, LOCATOR_REST_MS)
end

-- Puts a task with a specification of its own, and in no index, where tasks in `state` are; its place is by age.
local function place(id, r, state, due_at)
  if state == 'held' then
    redis.call('ZADD', HELD, int(r.created_at), id)
  else
    redis.call('HSET', RECORD .. id, 'entry', park(id, r.priority, ''))
    if state == 'delayed' then
      redis.call('ZADD', DELAYED, due_at, id)
    else
      redis.call('ZADD', AGAIN, again_score(r), id)
      wake()
    end
  end
  redis.call('HSET', RECORD .. id, 'status', state)
  redis.call('HDEL', RECORD .. id, 'state')
end
