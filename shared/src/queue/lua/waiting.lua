-- waiting: what could be claimed now, by priority, and since when the oldest of it has been in the queue.
-- returns {tasks, oldest in ms or 0} for high, medium and low, one behind the other. Changes nothing.
local result = {}
for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  local stream = TASKS .. priority
  -- Before the first claim there is no group, and before the first task no stream.
  local delivered, pending = '0-0', 0
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, group in ipairs(groups.err and {} or groups) do
    for i = 1, #group, 2 do
      if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
      if group[i] == 'pending' then pending = group[i + 1] end
    end
  end
  -- Entries of returned tasks are pending at the parked consumer.
  local tasks = redis.call('XLEN', stream) - pending
  local oldest = 0
  local fresh = redis.call('XRANGE', stream, '(' .. delivered, '+', 'COUNT', '1')
  if fresh[1] then oldest = tonumber(string.match(fresh[1][1], '^%d+')) end
  for _, ranks in ipairs({ RANK, SUSPECT_RANK }) do
    local low, high = places(ranks[priority])
    tasks = tasks + redis.call('ZCOUNT', AGAIN, low, high)
    local returned = redis.call('ZRANGEBYSCORE', AGAIN, low, high, 'WITHSCORES', 'LIMIT', '0', '1')
    if returned[2] then
      local created_at = tonumber(returned[2]) - tonumber(low)
      if oldest == 0 or created_at < oldest then oldest = created_at end
    end
  end
  result[#result + 1] = tasks
  result[#result + 1] = oldest
end
return result
