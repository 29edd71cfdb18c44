//! The queue against a real redis-server. Each test has a key prefix of its own; the server is shared by the
//! binary, except where a test stops it.
#![cfg(test)]

#[path = "ground/server.rs"]
mod ground;

#[path = "queue/acl.rs"]
mod acl;
#[path = "queue/audit.rs"]
mod audit;
#[path = "queue/batches.rs"]
mod batches;
#[path = "queue/beats.rs"]
mod beats;
#[path = "queue/bounds.rs"]
mod bounds;
#[path = "queue/control.rs"]
mod control;
#[path = "queue/depth.rs"]
mod depth;
#[path = "queue/issues.rs"]
mod issues;
#[path = "queue/lifecycle.rs"]
mod lifecycle;
#[path = "queue/limits.rs"]
mod limits;
#[path = "queue/loss.rs"]
mod loss;
#[path = "queue/outage.rs"]
mod outage;
#[path = "queue/pausing.rs"]
mod pausing;
#[path = "queue/polling.rs"]
mod polling;
#[path = "queue/reading.rs"]
mod reading;
#[path = "queue/referring.rs"]
mod referring;
#[path = "queue/repair.rs"]
mod repair;
#[path = "queue/scale.rs"]
mod scale;
#[path = "queue/setting.rs"]
mod setting;
#[path = "queue/spending.rs"]
mod spending;
#[path = "queue/suspects.rs"]
mod suspects;
#[path = "queue/tls.rs"]
mod tls;
#[path = "queue/unanswered.rs"]
mod unanswered;
#[path = "queue/volume.rs"]
mod volume;
#[path = "queue/waking.rs"]
mod waking;
