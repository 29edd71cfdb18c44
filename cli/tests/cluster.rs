//! Workers as real processes on a real Redis: killed, frozen, restarted, cut off, stopped.
//!
//! The agent is a script that says in its workspace that it has begun and waits there until the test lets it
//! go on; nothing here waits for a time to pass. A unique word in each agent's command line finds whatever
//! process is left of it.
#![cfg(test)]

#[path = "cluster/control.rs"]
mod control;
#[path = "cluster/crash.rs"]
mod crash;
#[path = "cluster/disk.rs"]
mod disk;
#[path = "cluster/forge.rs"]
mod forge;
#[path = "cluster/interleavings.rs"]
mod interleavings;
#[path = "cluster/interrupted.rs"]
mod interrupted;
#[path = "cluster/limits.rs"]
mod limits;
#[path = "cluster/live_log.rs"]
mod live_log;
#[path = "cluster/loss.rs"]
mod loss;
#[path = "cluster/lost_answer.rs"]
mod lost_answer;
#[path = "cluster/opinion.rs"]
mod opinion;
#[path = "cluster/pc.rs"]
mod pc;
#[path = "cluster/polling.rs"]
mod polling;
#[path = "cluster/replaced_master.rs"]
mod replaced_master;
#[path = "cluster/secrets.rs"]
mod secrets;
#[path = "cluster/stopping.rs"]
mod stopping;
#[path = "cluster/telling.rs"]
mod telling;
