-- log: appends lines to a task's log. The life of the whole log starts anew with every append, so that a late
-- line of a settled task cannot leave a log that never ends.
-- ARGV    1 id, 2 most lines, 3 life in ms, 4 run, then age in ms, stream, text ...
-- returns how many lines were appended
-- Lines travel in batches: `at` says when each came to be, by Redis' clock. `seq` counts every line that the log ever
-- had, so that a reader sees what was trimmed before it came.
local key = LOG .. ARGV[1]
local ms = now()
local seq = 0
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', '1')[1]
if last and last[2][1] == 'seq' then
  seq = tonumber(last[2][2]) or 0
end
for i = 5, #ARGV, 3 do
  seq = seq + 1
  redis.call('XADD', key, 'MAXLEN', '~', ARGV[2], '*', 'seq', int(seq), 'at', int(ms - ARGV[i]), 'run', ARGV[4],
    'stream', ARGV[i + 1], 'text', ARGV[i + 2])
end
redis.call('PEXPIRE', key, ARGV[3])
return (#ARGV - 4) / 3
