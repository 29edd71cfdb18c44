-- log: appends lines to a task's log. The life of the whole log starts anew with every append, so that a late
-- line of a settled task cannot leave a log that never ends.
-- ARGV    1 id, 2 most lines, 3 life in ms, 4 run, then stream, text ...
-- returns how many lines were appended
local key = LOG .. ARGV[1]
for i = 5, #ARGV, 2 do
  redis.call('XADD', key, 'MAXLEN', '~', ARGV[2], '*', 'run', ARGV[4], 'stream', ARGV[i], 'text', ARGV[i + 1])
end
redis.call('PEXPIRE', key, ARGV[3])
return (#ARGV - 4) / 2
