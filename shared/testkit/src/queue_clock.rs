//! Redis' clock cannot be set; what it wrote can. To the queue's scripts, times that all lie an hour farther back are a
//! clock that went on for an hour, or was set forward by one.

use anyhow::Result;
use redis::Connection;

/// Moves every time that a specialty keeps.
const MOVE: &str = r"
local base, by = KEYS[1], tonumber(ARGV[1])
local function int(n) return string.format('%d', n) end
local tasks = {}
for _, index in ipairs({ 'leases', 'delayed', 'held', 'again', 'finished', 'failed', 'cancelled' }) do
  local members = redis.call('ZRANGE', base .. index, 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    redis.call('ZADD', base .. index, int(members[i + 1] - by), members[i])
    tasks[members[i]] = true
  end
end
for _, priority in ipairs({ 'high', 'medium', 'low' }) do
  for _, entry in ipairs(redis.call('XRANGE', base .. 'tasks:' .. priority, '-', '+')) do tasks[entry[2][2]] = true end
end
local function fields(key, ...)
  for _, name in ipairs({ ... }) do
    local at = tonumber(redis.call('HGET', key, name) or '')
    if at and at > 0 then redis.call('HSET', key, name, int(at - by)) end
  end
end
fields(base .. 'sweep', 'at', 'next', 'grace')
for id in pairs(tasks) do fields(base .. 'task:' .. id, 'created_at', 'due_at', 'claimed_at', 'finished_at') end
-- Ids of entries cannot go back; an effect that is due is made older than any other.
local due = redis.call('XRANGE', base .. 'outbox', '-', '+')
if #due > 0 then redis.call('UNLINK', base .. 'outbox') end
for i, item in ipairs(due) do redis.call('XADD', base .. 'outbox', '1-' .. i, unpack(item[2])) end
";

/// Lets `ms` pass for `specialty` of the queue under `prefix`; less than nothing sets the clock back.
pub fn pass(connection: &mut Connection, prefix: &str, specialty: &str, ms: i64) -> Result<()> {
    Ok(redis::Script::new(MOVE).key(format!("{prefix}:{{{specialty}}}:")).arg(ms).invoke(connection)?)
}
