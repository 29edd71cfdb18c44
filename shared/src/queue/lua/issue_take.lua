-- issue_take: makes an issue's key name a task, if it names nobody, this task, or the one it is expected to name.
-- KEYS    1 the issue's key
-- ARGV    1 task id, 2 expected other task or '', 3 life in ms, 0 for ever
-- returns {'taken'} | {'named', other task, ms left or -1}
local named = redis.call('GET', KEYS[1])
if named and named ~= ARGV[1] and (ARGV[2] == '' or named ~= ARGV[2]) then
  return { 'named', named, redis.call('PTTL', KEYS[1]) }
end
if ARGV[3] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
end
return { 'taken' }
