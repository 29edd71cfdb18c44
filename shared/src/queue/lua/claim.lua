-- claim: pending -> active, for up to n tasks of this specialty.
-- ARGV    1 n, 2 node, 3 incarnation, 4 nonce, 5 lease in ms
-- returns {'paused'} | {'claimed', more, task ...}, more = 1 when the bound on orphans ended the claim,
--         task = {id, fence, runs, attempts, spec}
-- A claim whose answer is lost is found again by adopt.lua through its nonce.
local want, node, incarnation, nonce, lease_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ORPHANS_MAX = 100
if redis.call('EXISTS', PAUSED) == 1 then return { 'paused' } end
local ms, us = now()
local tasks, orphans = {}, 0

-- Leases the task, unless the entry is an orphan: of a task that was cancelled, moved or deleted.
local function lease(id, entry, spec)
  local f = redis.call('HMGET', RECORD .. id, 'status', 'entry', 'fence', 'runs', 'attempts', 'own')
  if f[1] ~= 'pending' or f[2] ~= entry then return false end
  local fence = int(math.max(tonumber(f[3] or '0') + 1, us))
  local runs = int(tonumber(f[4] or '0') + 1)
  if f[6] == '1' then spec = redis.call('GET', SPEC .. id) or '' end
  redis.call('HSET', RECORD .. id, 'status', 'active', 'worker', node, 'incarnation', incarnation, 'nonce', nonce,
    'fence', fence, 'runs', runs, 'claimed_at', int(ms), 'phase', 'claimed')
  redis.call('ZADD', LEASES, int(ms + lease_ms), id)
  event('active', id, 'worker', node, 'fence', fence)
  tasks[#tasks + 1] = { id, fence, runs, f[5] or '0', spec }
  return true
end

local function drop_orphan(stream, entry)
  redis.call('XACK', stream, 'workers', entry)
  redis.call('XDEL', stream, entry)
  orphans = orphans + 1
end

local function returned(priority, stream)
  local low = RANK[priority] .. string.format('%014d', 0)
  local high = RANK[priority] .. string.format('%014d', 99999999999999)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', AGAIN, low, high, 'LIMIT', '0', int(want - #tasks))) do
    redis.call('ZREM', AGAIN, id)
    local entry = redis.call('HGET', RECORD .. id, 'entry')
    local found = entry and redis.call('XRANGE', stream, entry, entry)
    if found and found[1] then
      if lease(id, entry, found[1][2][4]) then
        redis.call('XCLAIM', stream, 'workers', node, '0', entry, 'JUSTID')
      else
        drop_orphan(stream, entry)
      end
    else
      orphans = orphans + 1
    end
  end
end

local function fresh(stream)
  local read_new = function()
    return redis.pcall('XREADGROUP', 'GROUP', 'workers', node, 'COUNT', int(want - #tasks), 'STREAMS', stream, '>')
  end
  local answer = read_new()
  if answer and answer.err then
    if string.sub(answer.err, 1, 7) ~= 'NOGROUP' then return answer end
    redis.call('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
    answer = read_new()
  end
  if not answer then return nil end
  for _, item in ipairs(answer[1][2]) do
    local fields = item[2] or {}
    if not lease(fields[2] or '', item[1], fields[4] or '') then drop_orphan(stream, item[1]) end
  end
  return true
end

local have_returned = redis.call('ZCARD', AGAIN) > 0
for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local stream = TASKS .. priority
  while #tasks < want and orphans < ORPHANS_MAX and have_returned do
    local before = #tasks + orphans
    returned(priority, stream)
    if #tasks + orphans == before then break end
  end
  while #tasks < want and orphans < ORPHANS_MAX do
    local answer = fresh(stream)
    if answer == nil then break end
    -- Nothing of ours is half done: what was leased above is leased, and the error is told with it next time.
    if answer ~= true then
      if #tasks == 0 then return answer end
      break
    end
  end
end

local more = orphans >= ORPHANS_MAX
if more or (#tasks == want and waiting() > 0) then wake() end
local result = { 'claimed', more and 1 or 0 }
for i = 1, #tasks do result[i + 2] = tasks[i] end
return result
