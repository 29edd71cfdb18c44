-- charge: active -> active; a call of the agent has cost money. Counted once for the task and once for the day of its
-- account, whatever is repeated.
-- ARGV    1 id, 2 fence, 3 incarnation, 4 number of the call in its run, from 1, 5 cost in millionths of a dollar,
--         6 account or ''
-- returns {'counted' | 'already' | 'stale', what the task has cost in all its runs, outbox entry or '', day}
-- A cost of 0 changes nothing. The account lies in another slot: on a Cluster an outbox entry tells of its share.
local id, fence, call, micro_usd, account = ARGV[1], ARGV[2], ARGV[4], ARGV[5], ARGV[6]
if check(read(id), fence, ARGV[3]) ~= 'ok' then return { 'stale', '0', '', '' } end
local f = fields(id, 'micro_usd', 'charged')
local total = num(f[1])
local last_fence, last_call = string.match(f[2] or '', '^(%d+):(%d+)$')
if last_fence == fence and tonumber(last_call) >= tonumber(call) then return { 'already', int(total), '', '' } end
if micro_usd == '0' then return { 'counted', int(total), '', '' } end

local ms = now()
total = int(total + tonumber(micro_usd))
redis.call('HSET', RECORD .. id, 'micro_usd', total, 'charged', fence .. ':' .. call)
if account == '' then return { 'counted', total, '', '' } end
if ACCOUNT then
  spend(ACCOUNT .. '{' .. ACCOUNT .. account .. ':limited}:spent', micro_usd, ms)
  return { 'counted', total, '', '' }
end
local day = int(math.floor(ms / 86400000))
local entry = redis.call('XADD', OUTBOX, '*', 'task', id, 'issue', '', 'account', account, 'micro_usd', micro_usd,
  'day', day)
return { 'counted', total, entry, day }
