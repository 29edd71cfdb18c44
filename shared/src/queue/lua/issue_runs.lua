-- issue_runs: how many tasks an issue has started within a window, one more of them counted by its id.
-- KEYS    1 zset, start time in ms -> task
-- ARGV    1 window in ms, 2 most that are kept, 3 task id or ''
-- returns the number of tasks
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', ms - tonumber(ARGV[1])))
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], 'NX', string.format('%d', ms), ARGV[3])
  redis.call('ZREMRANGEBYRANK', KEYS[1], '0', string.format('%d', -tonumber(ARGV[2]) - 1))
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
