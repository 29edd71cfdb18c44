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

local have_returned = redis.call('ZCARD', AGAIN) > 0

-- Leases the task of an entry. 'kept': a group that was made anew has delivered what is leased or delayed.
-- 'orphan': the entry of a task that was cancelled, moved or deleted.
local function lease(stream, entry, id, spec)
  local f = fields(id, 'status', 'entry', 'fence', 'runs', 'attempts', 'own', 'worker')
  if f[2] ~= entry then return 'orphan' end
  if (f[1] == 'active' or f[1] == 'delayed') and entry ~= '' then
    pend(stream, entry, f[1] == 'active' and f[7] or PARKED)
    return 'kept'
  end
  if f[1] ~= 'pending' then return 'orphan' end
  local fence = int(math.max(num(f[3]) + 1, us))
  local runs = int(num(f[4]) + 1)
  if f[6] == '1' then spec = redis.call('GET', SPEC .. id) or '' end
  redis.call('HSET', RECORD .. id, 'status', 'active', 'worker', node, 'incarnation', incarnation, 'nonce', nonce,
    'fence', fence, 'runs', runs, 'claimed_at', int(ms), 'phase', 'claimed')
  redis.call('ZADD', LEASES, int(ms + lease_ms), id)
  event('active', id, 'worker', node, 'fence', fence)
  tasks[#tasks + 1] = { id, fence, runs, int(num(f[5])), spec }
  return 'leased'
end

-- What an entry that is not leased comes to. Counted, so that a claim ends.
local function pass(verdict, stream, entry)
  if verdict == 'orphan' and entry ~= '' then
    redis.call('XACK', stream, 'workers', entry)
    redis.call('XDEL', stream, entry)
  end
  orphans = orphans + 1
end

local function returned(priority, stream)
  local low = RANK[priority] .. string.format('%014d', 0)
  local high = RANK[priority] .. string.format('%014d', 99999999999999)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', AGAIN, low, high, 'LIMIT', '0', int(want - #tasks))) do
    redis.call('ZREM', AGAIN, id)
    local f = fields(id, 'status', 'entry')
    local entry = f[2] or ''
    local found = entry ~= '' and redis.call('XRANGE', stream, entry, entry)[1]
    if not found then
      -- Removed by hand. The task is handed out without a specification, so that its worker tells people.
      if f[1] == 'pending' then
        redis.call('HSET', RECORD .. id, 'entry', '')
        redis.call('SADD', DIRECT, id)
      end
      entry = ''
    end
    local verdict = lease(stream, entry, id, found and found[2][4] or '')
    if verdict ~= 'leased' then
      pass(verdict, stream, entry)
    elseif entry ~= '' then
      pend(stream, entry, node)
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
    make_group(stream)
    answer = read_new()
  end
  if not answer then return nil end
  for _, item in ipairs(answer[1][2]) do
    local parts = item[2] or {}
    local verdict = lease(stream, item[1], parts[2] or '', parts[4] or '')
    if verdict ~= 'leased' then
      pass(verdict, stream, item[1])
    elseif have_returned then
      redis.call('ZREM', AGAIN, parts[2])
    end
  end
  return true
end

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
