-- forfeit: active -> pending for whatever former incarnations of this node still hold, counted as lost.
-- ARGV    1 node, 2 incarnation (the living one), 3 most losses
-- returns {returned, poisoned}: how many of each
-- Only for a caller that has proven the former process dead (the lock file of its host).
local node, incarnation, lost_max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local TASKS_MAX = 1000
local ms = now()
local returned, poisoned = 0, 0
for _, id in ipairs(redis.call('ZRANGE', LEASES, 0, TASKS_MAX - 1)) do
  local r = read(id)
  if r.status == 'active' and r.worker == node and r.incarnation ~= incarnation then
    if lose(id, r, ms, lost_max, true) == 'pending' then returned = returned + 1 else poisoned = poisoned + 1 end
  end
end
return { returned, poisoned }
