//! The same guarantees on a master found through sentinels, and failovers.
#![cfg(test)]

#[path = "ground/sentinels.rs"]
mod ground;

#[path = "queue/beats.rs"]
mod beats;
#[path = "queue/control.rs"]
mod control;
#[path = "queue/depth.rs"]
mod depth;
#[path = "queue/failover.rs"]
mod failover;
#[path = "queue/issues.rs"]
mod issues;
#[path = "queue/lifecycle.rs"]
mod lifecycle;
#[path = "queue/loss.rs"]
mod loss;
#[path = "queue/pausing.rs"]
mod pausing;
#[path = "queue/repair.rs"]
mod repair;
#[expect(dead_code, reason = "what the suite on one server needs besides")]
#[path = "queue/setting.rs"]
mod setting;
#[path = "queue/suspects.rs"]
mod suspects;
#[path = "queue/waking.rs"]
mod waking;
