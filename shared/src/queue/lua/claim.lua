-- claim: pending -> active, for up to n tasks of this specialty.
-- ARGV    1 n, 2 node, 3 incarnation, 4 nonce, 5 lease in ms
-- returns {'paused'} | {'claimed', more, task ...}, more = 1 when the bound on orphans ended the claim,
--         task = {id, fence, runs, attempts, spec}, of a suspect also 'alone'
-- A suspect, which one more lost worker would end, is the last of its claim: whoever gets it claims nothing more and
-- begins it (phase.lua) when nothing else runs; until then its worker's death is not laid to it.
-- A claim whose answer is lost is found again by adopt.lua through its nonce.
local want, node, incarnation, nonce, lease_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ORPHANS_MAX = 100
if redis.call('EXISTS', PAUSED) == 1 then return { 'paused' } end
local ms, us = now()
local fresh_fence = int(us)
local tasks, orphans, failed = {}, 0, false

local have_returned = redis.call('ZCARD', AGAIN) > 0

-- Drops the entry of a task that was cancelled, moved or deleted. Counted, so that a claim ends.
local function orphaned(stream, entry)
  if entry ~= '' then
    redis.call('XACK', stream, 'workers', entry)
    redis.call('XDEL', stream, entry)
  end
  orphans = orphans + 1
end

-- The task of an entry, if it is to be leased.
local function candidate(stream, entry, id, spec)
  -- Every field that is read costs; what only a claim leaves behind is read of those that were claimed before.
  local f = fields(id, 'status', 'entry', 'fence', 'own')
  if f[1] == 'pending' and f[2] == entry then
    if f[4] == '1' then
      local own = redis.pcall('GET', SPEC .. id)
      spec = type(own) == 'string' and own or ''
    end
    if not f[3] then return { id, fresh_fence, '1', '0', spec } end
    local before = fields(id, 'runs', 'attempts')
    return { id, int(math.max(num(f[3]) + 1, us)), int(num(before[1]) + 1), before[2] or '0', spec }
  end
  if f[2] == entry and entry ~= '' and (f[1] == 'active' or f[1] == 'delayed') then
    -- A group that was made anew has delivered what is leased or delayed.
    pend(stream, entry, f[1] == 'active' and fields(id, 'worker')[1] or PARKED)
    orphans = orphans + 1
  else
    orphaned(stream, entry)
  end
end

local function lease(found)
  if #found == 0 then return end
  local expires, at = int(ms + lease_ms), int(ms)
  local leases = {}
  for _, task in ipairs(found) do
    leases[#leases + 1] = expires
    leases[#leases + 1] = task[1]
  end
  redis.call('ZADD', LEASES, unpack(leases))
  for _, task in ipairs(found) do
    redis.call('HSET', RECORD .. task[1], 'status', 'active', 'worker', node, 'incarnation', incarnation,
      'nonce', nonce, 'fence', task[2], 'runs', task[3], 'claimed_at', at, 'phase', task[6] or 'claimed')
    event_among('active', task[1], 'worker', node, 'fence', task[2])
    tasks[#tasks + 1] = task
  end
end

-- Leases up to `most` of those that came back in this rank, in `phase`.
local function returned(rank, stream, most, phase)
  local low, high = places(rank)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', AGAIN, low, high, 'LIMIT', '0', int(most))) do
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
    local task = candidate(stream, entry, id, found and found[2][4] or '')
    if task then
      task[6] = phase
      lease({ task })
      if entry ~= '' then pend(stream, entry, node) end
    end
  end
end

local function fresh(stream)
  local read_new = function()
    return redis.pcall('XREADGROUP', 'GROUP', 'workers', node, 'COUNT', int(want - #tasks), 'STREAMS', stream, '>')
  end
  -- Most streams are empty most of the time, and reading costs more than asking.
  if redis.pcall('XLEN', stream) == 0 then return nil end
  local answer = read_new()
  if answer and answer.err then
    if string.sub(answer.err, 1, 7) ~= 'NOGROUP' then return answer end
    make_group(stream)
    answer = read_new()
  end
  if not answer then return nil end
  local found = {}
  for _, item in ipairs(answer[1][2]) do
    local parts = item[2] or {}
    local task = candidate(stream, item[1], parts[2] or '', parts[4] or '')
    local place = task and have_returned and redis.call('ZSCORE', AGAIN, task[1])
    if place and tonumber(place) >= tonumber((places(SUSPECT_RANK.high))) then
      -- A group that was made anew has delivered it; it does not come this way.
      pend(stream, item[1], PARKED)
      orphans = orphans + 1
    elseif task then
      found[#found + 1] = task
      if place then redis.call('ZREM', AGAIN, task[1]) end
    end
  end
  lease(found)
  return true
end

for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local stream = TASKS .. priority
  while #tasks < want and orphans < ORPHANS_MAX and have_returned do
    local others, dropped = #tasks, orphans
    returned(SUSPECT_RANK[priority], stream, 1, ALONE)
    if #tasks > others then want = #tasks end
    if orphans == dropped then break end
  end
  while #tasks < want and orphans < ORPHANS_MAX and have_returned do
    local before = #tasks + orphans
    returned(RANK[priority], stream, want - #tasks)
    if #tasks + orphans == before then break end
  end
  while #tasks < want and orphans < ORPHANS_MAX do
    local answer = fresh(stream)
    if answer == nil then break end
    -- Nothing of ours is half done: what was leased above is leased, and the error is told with it next time.
    if answer ~= true then
      if #tasks == 0 then return answer end
      failed = true
      break
    end
  end
end

local more = orphans >= ORPHANS_MAX
if more then
  wake()
elseif #tasks < want then
  -- Nothing is left that a worker could be woken for.
  if not failed then redis.pcall('DEL', WAKE) end
elseif redis.pcall('EXISTS', WAKE) == 0 and waiting() > 0 then
  -- Where the marker is still there, nobody waits for it, and there is no need to count.
  wake()
end
local result = { 'claimed', more and 1 or 0 }
for i = 1, #tasks do result[i + 2] = tasks[i] end
return result
