//! The same guarantees on a Redis Cluster, and what only a cluster does.
#![cfg(test)]

#[path = "ground/cluster.rs"]
mod ground;

#[path = "queue/batches.rs"]
mod batches;
#[path = "queue/beats.rs"]
mod beats;
#[path = "queue/cluster.rs"]
mod cluster;
#[path = "queue/control.rs"]
mod control;
#[path = "queue/depth.rs"]
mod depth;
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
#[path = "queue/spending.rs"]
mod spending;
#[path = "queue/suspects.rs"]
mod suspects;
#[path = "queue/waking.rs"]
mod waking;
