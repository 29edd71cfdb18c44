//! The Lua scripts: composed once, called by hash, loaded again when the server has forgotten them.

use redis::{FromRedisValue, Script, ToRedisArgs};

use super::{QueueError, connection::Connections, keys};
use crate::config::QueueConfig;

const PRELUDE: &str = include_str!("lua/prelude.lua");
const LOSE: &str = include_str!("lua/lose.lua");
const AUDIT: &str = include_str!("lua/audit.lua");

/// Without flags a script is refused when Redis is full; with `allow-oom` it runs, so that a full Redis drains.
const DENY_OOM: &str = "#!lua\n";
const ALLOW_OOM: &str = "#!lua flags=allow-oom\n";

/// Runs where nothing may be written, too.
const NO_WRITES: &str = "#!lua flags=no-writes\n";

/// One script, named as its file is.
pub struct NamedScript {
    pub name: &'static str,
    script: Script,
}

/// All scripts of the queue. Each file states its contract.
pub struct Scripts {
    pub enqueue: NamedScript,
    pub hold: NamedScript,
    pub release_held: NamedScript,
    pub claim: NamedScript,
    pub claim_held: NamedScript,
    pub adopt: NamedScript,
    pub renew: NamedScript,
    pub held: NamedScript,
    pub phase: NamedScript,
    pub complete: NamedScript,
    pub fail: NamedScript,
    pub retry: NamedScript,
    pub release: NamedScript,
    pub cancel: NamedScript,
    pub forfeit: NamedScript,
    pub sweep: NamedScript,
    pub rearm: NamedScript,
    pub waiting: NamedScript,
    pub log: NamedScript,
    pub beat: NamedScript,
    pub unbeat: NamedScript,
    pub roll: NamedScript,
    pub enlist: NamedScript,
    pub suspend: NamedScript,
    pub issue_take: NamedScript,
    pub issue_free: NamedScript,
    pub issue_runs: NamedScript,
}

impl Scripts {
    pub fn new(settings: &QueueConfig) -> Self {
        let limits = format!(
            "local PARKED, EVENTS_MAX, KEEP_COUNT, KEEP_MS = '{}', '{}', {}, {}\n",
            keys::PARKED_CONSUMER,
            settings.events_count_max,
            settings.finished_count_max,
            settings.finished_age_hours * 3_600_000
        );
        let in_slot = |name, flags: &str, body: &str| {
            let lose = if body.contains("lose(") { LOSE } else { "" };
            let audit = if body.contains("audit(") { AUDIT } else { "" };
            let text = format!("{PRELUDE}{lose}{audit}{body}");
            // A shebang is the first line; constants come before the prelude that uses them.
            let (first, rest) = text.split_once("local base = KEYS[1]\n").unwrap_or(("", &text));
            let constants = keys::lua_constants(&text);
            let script = format!("{flags}{first}local base = KEYS[1]\n{constants}{limits}{rest}");
            NamedScript { name, script: Script::new(&script) }
        };
        let alone =
            |name, body: &str| NamedScript { name, script: Script::new(&format!("{ALLOW_OOM}{body}")) };
        Self {
            enqueue: in_slot("enqueue", DENY_OOM, include_str!("lua/enqueue.lua")),
            hold: in_slot("hold", DENY_OOM, include_str!("lua/hold.lua")),
            release_held: in_slot("release_held", ALLOW_OOM, include_str!("lua/release_held.lua")),
            claim: in_slot("claim", ALLOW_OOM, include_str!("lua/claim.lua")),
            claim_held: in_slot("claim_held", ALLOW_OOM, include_str!("lua/claim_held.lua")),
            adopt: in_slot("adopt", ALLOW_OOM, include_str!("lua/adopt.lua")),
            renew: in_slot("renew", ALLOW_OOM, include_str!("lua/renew.lua")),
            held: in_slot("held", ALLOW_OOM, include_str!("lua/held.lua")),
            phase: in_slot("phase", ALLOW_OOM, include_str!("lua/phase.lua")),
            complete: in_slot("complete", ALLOW_OOM, include_str!("lua/complete.lua")),
            fail: in_slot("fail", ALLOW_OOM, include_str!("lua/fail.lua")),
            retry: in_slot("retry", ALLOW_OOM, include_str!("lua/retry.lua")),
            release: in_slot("release", ALLOW_OOM, include_str!("lua/release.lua")),
            cancel: in_slot("cancel", ALLOW_OOM, include_str!("lua/cancel.lua")),
            forfeit: in_slot("forfeit", ALLOW_OOM, include_str!("lua/forfeit.lua")),
            sweep: in_slot("sweep", ALLOW_OOM, include_str!("lua/sweep.lua")),
            rearm: in_slot("rearm", ALLOW_OOM, include_str!("lua/rearm.lua")),
            waiting: in_slot("waiting", NO_WRITES, include_str!("lua/waiting.lua")),
            log: in_slot("log", ALLOW_OOM, include_str!("lua/log.lua")),
            beat: alone("beat", include_str!("lua/beat.lua")),
            unbeat: alone("unbeat", include_str!("lua/unbeat.lua")),
            roll: alone("roll", include_str!("lua/roll.lua")),
            enlist: alone("enlist", include_str!("lua/enlist.lua")),
            suspend: alone("suspend", include_str!("lua/suspend.lua")),
            issue_take: alone("issue_take", include_str!("lua/issue_take.lua")),
            issue_free: alone("issue_free", include_str!("lua/issue_free.lua")),
            issue_runs: alone("issue_runs", include_str!("lua/issue_runs.lua")),
        }
    }
}

impl NamedScript {
    /// Runs the script on the slot of `key`. A server that has forgotten it gets it again (`NOSCRIPT`).
    pub async fn call<T: FromRedisValue>(
        &self,
        connections: &Connections,
        key: &str,
        args: impl ToRedisArgs,
    ) -> Result<T, QueueError> {
        let mut invocation = self.script.key(key);
        invocation.arg(args);
        connections.run(async |mut connection| invocation.invoke_async(&mut connection).await).await.map_err(
            |error| match error {
                QueueError::Unexpected { detail, .. } => QueueError::unexpected(self.name, detail),
                other => other,
            },
        )
    }
}
