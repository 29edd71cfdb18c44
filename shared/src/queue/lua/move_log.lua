-- Copies a page of a task's log into the slot that the task goes to; what is there already stays.
-- ARGV    1 id, 2 life in ms, then entry, number of parts, part ...
-- returns how many lines were new
local key = LOG .. ARGV[1]
local copied, at = 0, 3
while ARGV[at] do
  local parts = tonumber(ARGV[at + 1])
  -- Entries only grow: one that is there already is refused.
  local answer = redis.pcall('XADD', key, ARGV[at], unpack(ARGV, at + 2, at + 1 + parts))
  if type(answer) == 'string' then copied = copied + 1 end
  at = at + 2 + parts
end
redis.call('PEXPIRE', key, ARGV[2])
return copied
