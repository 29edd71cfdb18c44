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

local function returned(priority, before)
  return redis.call('ZCOUNT', AGAIN, RANK[priority] .. string.format('%014d', 0), before)
end

for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local fresh, delivered = waits_in(priority)
  if priority == r.priority then
    local place = redis.call('ZSCORE', AGAIN, id)
    if place then
      ahead = ahead + returned(priority, '(' .. place)
    else
      ahead = ahead + returned(priority, RANK[priority] .. string.format('%014d', 99999999999999))
      local before = redis.call('XRANGE', TASKS .. priority, '(' .. delivered, '(' .. (r.entry or '0-1'), 'COUNT', int(most))
      ahead = ahead + #before
    end
    return math.min(ahead, most)
  end
  ahead = ahead + fresh + returned(priority, RANK[priority] .. string.format('%014d', 99999999999999))
end
return math.min(ahead, most)
