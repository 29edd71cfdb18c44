-- Behind the prelude in the sweep: looks slowly, a page a sweep by a kept cursor, at what the groups hold. No
-- transition leaves anything behind; a hand, or a defect, may. What nobody would find otherwise is mended.
local AUDIT_BATCH = 20
-- A living worker asks far more often, and one that comes back is a consumer again.
local CONSUMER_IDLE_LEASES, CONSUMERS_MAX = 100, 100
local AFTER = { high = 'medium', medium = 'low', low = 'high' }

-- An entry that was delivered, and the task it is of.
local function audit_entry(stream, entry, ms, lease_ms)
  local found = redis.call('XRANGE', stream, entry, entry)[1]
  local id = found and found[2][2] or ''
  local r = read(id)
  local status = found and r.entry == entry and r.status
  if status == 'active' then
    redis.call('ZADD', LEASES, 'NX', int(ms + lease_ms), id)
  elseif status == 'delayed' then
    redis.call('ZADD', DELAYED, 'NX', int(ms), id)
  elseif status == 'pending' then
    if redis.call('ZADD', AGAIN, 'NX', again_score(r), id) == 1 then
      pend(stream, entry, PARKED)
    end
  else
    redis.call('XACK', stream, 'workers', entry)
    redis.call('XDEL', stream, entry)
  end
end

-- Consumers outlive their workers, one for each name that a worker ever had.
local function forget_consumers(stream, idle_ms)
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, 'workers')
  for i = 1, math.min(#consumers, CONSUMERS_MAX) do
    local c = {}
    for k = 1, #consumers[i], 2 do c[consumers[i][k]] = consumers[i][k + 1] end
    -- With it would go what is pending at it.
    if c.name ~= PARKED and c.pending == 0 and c.idle > idle_ms then
      redis.call('XGROUP', 'DELCONSUMER', stream, 'workers', c.name)
    end
  end
end

-- Returns the next cursor.
local function audit(cursor, ms, lease_ms)
  local priority, from = string.match(cursor or '', '^(%a+) (%S+)$')
  if not AFTER[priority or ''] then priority, from = 'high', '-' end
  local stream = TASKS .. priority
  local pending = redis.pcall('XPENDING', stream, 'workers', from, '+', int(AUDIT_BATCH))
  for _, item in ipairs(pending) do audit_entry(stream, item[1], ms, lease_ms) end
  if #pending == AUDIT_BATCH then return priority .. ' (' .. pending[#pending][1] end
  forget_consumers(stream, CONSUMER_IDLE_LEASES * lease_ms)
  return AFTER[priority] .. ' -'
end
