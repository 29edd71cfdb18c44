-- Behind the prelude in the scripts that let tasks in. The locator is taken where it is at hand; on a Cluster the
-- caller took it before.

-- One task, from ARGV[i]: id, priority, spec (MessagePack), how many more arguments, then field, value ... of the
-- record. Returns where the next begins, and 'created' | 'created <outbox entry>' (its locator, in another slot, is
-- to be made lasting) | 'exists' | 'elsewhere <specialty>' (its locator names another, nothing was written) |
-- 'error <message>' (nothing was written).
local function admit(specialty, i)
  local id, priority = ARGV[i], ARGV[i + 1]
  local last = i + 3 + ARGV[i + 3]
  local located = LOCATOR and redis.pcall('SET', LOCATOR .. id, specialty, 'NX', 'GET')
  if located and located.err then return last + 1, 'error ' .. located.err end
  if located and located ~= specialty then return last + 1, 'elsewhere ' .. located end
  local status = redis.pcall('HGET', RECORD .. id, 'status')
  if type(status) == 'string' then return last + 1, 'exists' end
  local entry = status or redis.pcall('XADD', TASKS .. priority, '*', 'task', id, 'spec', ARGV[i + 2])
  if entry.err then
    if LOCATOR and not located then redis.call('UNLINK', LOCATOR .. id) end
    return last + 1, 'error ' .. entry.err
  end
  -- As old as its entry, so that it is so also when it comes back without having been read from the stream.
  redis.call('HSET', RECORD .. id, 'status', 'pending', 'priority', priority,
    'created_at', string.match(entry, '^%d+'), 'entry', entry, unpack(ARGV, i + 4, last))
  -- Left by a settled task whose record is gone, it has an end.
  if located then redis.call('PERSIST', LOCATOR .. id) end
  event('pending', id)
  if LOCATOR then return last + 1, 'created' end
  return last + 1, 'created ' .. redis.call('XADD', OUTBOX, '*', 'task', id, 'issue', '')
end

-- What a number of new tasks bring about together.
local function admitted(specialty, created)
  if SPECIALTIES then redis.pcall('SADD', SPECIALTIES, specialty) end
  if created == 0 then return end
  wake()
  count('enqueued', int(created))
end
