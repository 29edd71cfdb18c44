-- ahead: how many waiting tasks come before one that is pending, counted up to a number. Changes nothing.
-- ARGV    1 id, 2 the number
-- returns how many, at most the number
-- Costs the same however much waits: of the stream no more entries are read than are counted.
local id, most = ARGV[1], tonumber(ARGV[2])
local r = read(id)
local ahead = 0

-- What of a stream could be claimed, and the entry that was delivered last.
local function waits_in(priority)
  local delivered, pending = '0-0', 0
  local groups = redis.pcall('XINFO', 'GROUPS', TASKS .. priority)
  for _, group in ipairs(groups.err and {} or groups) do
    for i = 1, #group, 2 do
      if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
      if group[i] == 'pending' then pending = group[i + 1] end
    end
  end
  return redis.call('XLEN', TASKS .. priority) - pending, delivered
end

local function returned(rank, before)
  local low, high = places(rank)
  return redis.call('ZCOUNT', AGAIN, low, before or high)
end

for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local fresh, delivered = waits_in(priority)
  if priority == r.priority then
    local place = redis.call('ZSCORE', AGAIN, id)
    if place and r.lost >= SUSPECT_LOST then return math.min(ahead + returned(SUSPECT_RANK[priority], '(' .. place), most) end
    ahead = ahead + returned(SUSPECT_RANK[priority])
    if place then
      ahead = ahead + returned(RANK[priority], '(' .. place)
    else
      ahead = ahead + returned(RANK[priority])
      local before = redis.call('XRANGE', TASKS .. priority, '(' .. delivered, '(' .. (r.entry or '0-1'), 'COUNT', int(most))
      ahead = ahead + #before
    end
    return math.min(ahead, most)
  end
  ahead = ahead + fresh + returned(SUSPECT_RANK[priority]) + returned(RANK[priority])
end
return math.min(ahead, most)
