//! What the cluster survives, by a schedule that follows from a seed, and what is counted at the end.
//!
//! Two levels. [`queue_level`]: many tasks, small workers that use `shared`'s queue as the real ones do and publish
//! a line in a file. [`cluster_level`]: fewer tasks, the real program from the signed webhook to the pushed branch.
//! Both stand on a real Redis with an append-only file that is synced with every write, behind a proxy that
//! makes the network fail. `scripts/chaos` runs the long form; the short one is among the tests.

pub mod cluster_level;
mod crew;
mod effects;
mod history;
pub mod offerer;
pub mod queue_level;
pub mod report;
mod schedule;
mod task_kind;
pub mod worker;
