-- forfeit: active -> pending for whatever former incarnations of this node still hold, counted as lost.
-- ARGV    1 node, 2 incarnation (the living one), 3 most losses
-- returns {returned, poisoned}: how many of each
-- Only for a caller that has proven the former process dead (the lock file of its host).
local node, incarnation, lost_max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local TASKS_MAX = 1000
local ms = now()
local returned, poisoned = 0, 0

local function forfeit(id)
  local r = read(id)
  if r.status == 'active' and r.worker == node and r.incarnation ~= incarnation then
    if lose(id, r, ms, lost_max, true) == 'pending' then returned = returned + 1 else poisoned = poisoned + 1 end
  end
end

-- By what is pending at the node, not by the leases: others may hold any number of those.
for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local stream = TASKS .. priority
  local pending = redis.pcall('XPENDING', stream, 'workers', '-', '+', int(TASKS_MAX), node)
  for _, item in ipairs(pending) do
    local found = redis.call('XRANGE', stream, item[1], item[1])[1]
    if found then forfeit(found[2][2]) end
  end
end
local direct = redis.call('SMEMBERS', DIRECT)
table.sort(direct)
for _, id in ipairs(direct) do forfeit(id) end
return { returned, poisoned }
