//! The Lua scripts: composed once, called by hash, loaded again when the server has forgotten them.

use redis::{FromRedisValue, Script, ToRedisArgs};

use super::{QueueError, connection::Connections, keys, locator::LOCATOR_REST_MS};
use crate::config::QueueConfig;

const PRELUDE: &str = include_str!("lua/prelude.lua");

/// What stands between the prelude and the scripts that mention any of its names.
const PARTS: [(&[&str], &str); 5] = [
    (
        &["WAITS", "IN_TRANSIT", "park(", "effect(", "lives_elsewhere(", "gone_elsewhere(", "place("],
        include_str!("lua/transit.lua"),
    ),
    (&["lose("], include_str!("lua/lose.lua")),
    (&["audit("], include_str!("lua/audit.lua")),
    (&["admit("], include_str!("lua/admit.lua")),
    (&["spend("], include_str!("lua/spend.lua")),
];

/// A settlement is one script over the four ways in which a run may end.
const SETTLE: &str = concat!(
    include_str!("lua/complete.lua"),
    include_str!("lua/fail.lua"),
    include_str!("lua/retry.lua"),
    include_str!("lua/release.lua"),
    include_str!("lua/settle.lua")
);

/// Without flags a script is refused when Redis is full; with `allow-oom` it runs, so that a full Redis drains.
const DENY_OOM: &str = "#!lua\n";
const ALLOW_OOM: &str = "#!lua flags=allow-oom\n";

/// The phase of a suspect that has not begun: it waits until nothing else runs on its worker.
pub const ALONE_PHASE: &str = "alone";

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
    pub charge: NamedScript,
    pub settle: NamedScript,
    pub refer: NamedScript,
    pub cancel: NamedScript,
    pub force_release: NamedScript,
    pub rerun: NamedScript,
    pub change: NamedScript,
    pub move_priority: NamedScript,
    pub move_out: NamedScript,
    pub move_in: NamedScript,
    pub move_log: NamedScript,
    pub move_done: NamedScript,
    pub move_arrive: NamedScript,
    pub move_undo: NamedScript,
    pub delete: NamedScript,
    pub trim: NamedScript,
    pub pause: NamedScript,
    pub resume: NamedScript,
    pub forfeit: NamedScript,
    pub sweep: NamedScript,
    pub rearm: NamedScript,
    pub waiting: NamedScript,
    pub ahead: NamedScript,
    pub page: NamedScript,
    pub log: NamedScript,
    pub beat: NamedScript,
    pub unbeat: NamedScript,
    pub roll: NamedScript,
    pub enlist: NamedScript,
    pub suspend: NamedScript,
    pub spend_once: NamedScript,
    pub account: NamedScript,
    pub issue_take: NamedScript,
    pub issue_free: NamedScript,
    pub issue_runs: NamedScript,
    pub move_locator: NamedScript,
    pub locator_take: NamedScript,
    pub locator_end: NamedScript,
    pub drain: NamedScript,
    pub issue_trigger: NamedScript,
    pub poll_take: NamedScript,
    pub poll_move: NamedScript,
}

impl Scripts {
    /// `reach`: whether what lies in other slots is at hand, as it is on every server but a Cluster.
    pub fn new(settings: &QueueConfig, keys: &keys::Keys, reach: keys::Reach) -> Self {
        let keep_ms = settings.finished_age_hours * 3_600_000;
        let limits = format!(
            "local PARKED, EVENTS_MAX, KEEP_COUNT, KEEP_MS, LOCATOR_MS = '{}', '{}', {}, {keep_ms}, '{}'\n\
             local SUSPECT_LOST, ALONE = {}, '{ALONE_PHASE}'\n\
             local LOCATOR_REST_MS = '{LOCATOR_REST_MS}'\n",
            keys::PARKED_CONSUMER,
            settings.events_count_max,
            settings.finished_count_max,
            settings.locator_life_ms(),
            settings.suspect_lost(),
        );
        let in_slot = |name, flags: &str, body: &str| {
            let named = |names: &[&str]| names.iter().any(|name| body.contains(name));
            let parts: String =
                PARTS.iter().filter(|(names, _)| named(names)).map(|(_, part)| *part).collect();
            let text = prelude_for(&format!("{parts}{body}"));
            // A shebang is the first line; constants come before the prelude that uses them.
            let (first, rest) = text.split_once("local base = KEYS[1]\n").unwrap_or(("", &text));
            let constants = keys::lua_constants(&text) + &keys.lua_constants(&text, reach);
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
            charge: in_slot("charge", ALLOW_OOM, include_str!("lua/charge.lua")),
            settle: in_slot("settle", ALLOW_OOM, SETTLE),
            refer: in_slot("refer", ALLOW_OOM, include_str!("lua/refer.lua")),
            cancel: in_slot("cancel", ALLOW_OOM, include_str!("lua/cancel.lua")),
            force_release: in_slot("force_release", ALLOW_OOM, include_str!("lua/force_release.lua")),
            rerun: in_slot("rerun", DENY_OOM, include_str!("lua/rerun.lua")),
            change: in_slot("change", DENY_OOM, include_str!("lua/change.lua")),
            move_priority: in_slot("move_priority", DENY_OOM, include_str!("lua/move_priority.lua")),
            move_out: in_slot("move_out", DENY_OOM, include_str!("lua/move_out.lua")),
            move_in: in_slot("move_in", ALLOW_OOM, include_str!("lua/move_in.lua")),
            move_log: in_slot("move_log", DENY_OOM, include_str!("lua/move_log.lua")),
            move_done: in_slot("move_done", ALLOW_OOM, include_str!("lua/move_done.lua")),
            move_arrive: in_slot("move_arrive", ALLOW_OOM, include_str!("lua/move_arrive.lua")),
            move_undo: in_slot("move_undo", ALLOW_OOM, include_str!("lua/move_undo.lua")),
            delete: in_slot("delete", ALLOW_OOM, include_str!("lua/delete.lua")),
            trim: in_slot("trim", ALLOW_OOM, include_str!("lua/trim.lua")),
            pause: in_slot("pause", ALLOW_OOM, include_str!("lua/pause.lua")),
            resume: in_slot("resume", ALLOW_OOM, include_str!("lua/resume.lua")),
            forfeit: in_slot("forfeit", ALLOW_OOM, include_str!("lua/forfeit.lua")),
            sweep: in_slot("sweep", ALLOW_OOM, include_str!("lua/sweep.lua")),
            rearm: in_slot("rearm", ALLOW_OOM, include_str!("lua/rearm.lua")),
            waiting: in_slot("waiting", NO_WRITES, include_str!("lua/waiting.lua")),
            ahead: in_slot("ahead", NO_WRITES, include_str!("lua/ahead.lua")),
            page: in_slot("page", NO_WRITES, include_str!("lua/page.lua")),
            log: in_slot("log", DENY_OOM, include_str!("lua/log.lua")),
            beat: alone("beat", include_str!("lua/beat.lua")),
            unbeat: alone("unbeat", include_str!("lua/unbeat.lua")),
            roll: alone("roll", include_str!("lua/roll.lua")),
            enlist: alone("enlist", include_str!("lua/enlist.lua")),
            suspend: alone("suspend", include_str!("lua/suspend.lua")),
            spend_once: alone(
                "spend_once",
                concat!(include_str!("lua/spend.lua"), include_str!("lua/spend_once.lua")),
            ),
            account: alone("account", include_str!("lua/account.lua")),
            issue_take: alone("issue_take", include_str!("lua/issue_take.lua")),
            issue_free: alone("issue_free", include_str!("lua/issue_free.lua")),
            issue_runs: alone("issue_runs", include_str!("lua/issue_runs.lua")),
            move_locator: alone("move_locator", include_str!("lua/move_locator.lua")),
            locator_take: alone("locator_take", include_str!("lua/locator_take.lua")),
            locator_end: alone("locator_end", include_str!("lua/locator_end.lua")),
            drain: alone("drain", include_str!("lua/drain.lua")),
            issue_trigger: alone("issue_trigger", include_str!("lua/issue_trigger.lua")),
            poll_take: alone("poll_take", include_str!("lua/poll_take.lua")),
            poll_move: alone("poll_move", include_str!("lua/poll_move.lua")),
        }
    }
}

/// `body` behind the paragraphs of the prelude that it needs, itself or through others: a call makes anew
/// whatever its script defines.
fn prelude_for(body: &str) -> String {
    let mut text = body.to_owned();
    for paragraph in PRELUDE.split("\n\n").collect::<Vec<_>>().into_iter().rev() {
        let definition = paragraph.lines().find_map(|line| line.strip_prefix("local "));
        let function =
            definition.and_then(|rest| rest.strip_prefix("function ")?.split_inclusive('(').next());
        if function.is_none_or(|call| text.contains(call)) {
            text = format!("{paragraph}\n\n{text}");
        }
    }
    text
}

impl NamedScript {
    /// Runs the script on the slot of `key`. A server that has forgotten it gets it again (`NOSCRIPT`).
    pub async fn call<T: FromRedisValue>(
        &self,
        connections: &Connections,
        key: &str,
        args: impl ToRedisArgs,
    ) -> Result<T, QueueError> {
        self.call_on(connections, &[key], args).await
    }

    /// The same with several keys, which are in one slot.
    pub async fn call_on<T: FromRedisValue>(
        &self,
        connections: &Connections,
        keys: &[&str],
        args: impl ToRedisArgs,
    ) -> Result<T, QueueError> {
        let mut invocation = self.script.prepare_invoke();
        for key in keys {
            invocation.key(*key);
        }
        invocation.arg(args);
        // On the heap: whoever waits for a script, and there are many, holds no more than a pointer.
        let answer =
            Box::pin(connections.run(async |mut connection| invocation.invoke_async(&mut connection).await));
        answer.await.map_err(|error| match error {
            QueueError::Unexpected { detail, .. } => QueueError::unexpected(self.name, detail),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_what_it_calls_and_what_that_calls_and_nothing_else() {
        let text = prelude_for("finish(id)\n");
        for needed in ["local base", "function finish(", "function drop_entry(", "function forget(", "RANK ="]
        {
            assert!(text.contains(needed), "{needed}");
        }
        for other in ["function waiting(", "function give_back("] {
            assert!(!text.contains(other), "{other}");
        }
    }
}
