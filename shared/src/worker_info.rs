//! What a worker tells of itself with every beat.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Specialty, TaskId, lifecycle::UnixMs};

/// A worker as its last beat described it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The node id: the host name unless configured.
    pub id: String,
    /// A UUID made by the process at its start.
    pub incarnation: String,
    pub hostname: String,
    pub pid: u32,
    /// Names the lock file that this process holds, on this boot of this machine: whoever holds the same
    /// lock later has proven that this process is dead.
    pub lock: String,
    /// Port of its health and metrics page, where it has one.
    pub port: Option<u16>,
    pub specialties: Vec<Specialty>,
    pub slots: u32,
    pub running: Vec<TaskId>,
    pub version: String,
    /// The agent driver and, where known, its version, such as `claude 2.1.328`.
    pub agent: String,
    /// `bubblewrap` or `process`.
    pub sandbox: String,
    pub system: SystemInfo,
    pub workspace_root: String,
    pub draining: bool,
    /// Claims nothing until then, because its agent account met a limit.
    pub suspended_until: Option<UnixMs>,
    /// Of which specialties it claims nothing, and until when: those whose agent account met a limit.
    #[serde(default)]
    pub resting: BTreeMap<Specialty, UnixMs>,
    /// Why it claims nothing at all, where something on its machine has to be mended first, such as a full disk.
    #[serde(default)]
    pub unready: Option<String>,
    /// What has been spent today from the accounts of its agents.
    #[serde(default)]
    pub accounts: Vec<AccountInfo>,
    pub started_at: UnixMs,
    /// The last beat, by Redis' clock. Filled in by Redis.
    pub beat_at: UnixMs,
}

/// An agent account as a worker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// As configured, else a digest of the credential.
    pub name: String,
    /// What all who share it have spent since midnight UTC, in millionths of a US dollar, as far as agents told.
    pub micro_usd_today: u64,
    /// Once that much is spent the worker claims nothing more for it until midnight; `None`: no budget.
    pub micro_usd_per_day: Option<u64>,
}

/// The machine that a worker runs on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemInfo {
    pub os: String,
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_free_mib: u64,
    pub load_1m: f64,
}

/// A worker in a listing: alive while its beat's key lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum WorkerState {
    Online(Box<WorkerInfo>),
    /// Beat for the last time at `last_beat_at`; forgotten after a day.
    Offline {
        id: String,
        last_beat_at: UnixMs,
    },
}

impl WorkerState {
    /// The node id.
    pub fn id(&self) -> &str {
        match self {
            Self::Online(info) => &info.id,
            Self::Offline { id, .. } => id,
        }
    }

    /// Until when this worker, which is online, claims nothing of `specialty`; `None` where it claims.
    pub fn rests_until(&self, specialty: &Specialty) -> Option<UnixMs> {
        match self {
            Self::Online(info) => info.resting.get(specialty).copied().filter(|until| *until > info.beat_at),
            Self::Offline { .. } => None,
        }
    }

    /// Why this worker, which is online, claims nothing at all.
    pub fn unready(&self) -> Option<&str> {
        match self {
            Self::Online(info) => info.unready.as_deref(),
            Self::Offline { .. } => None,
        }
    }

    /// Whether this worker is online and takes tasks of `specialty`.
    pub fn takes(&self, specialty: &Specialty) -> bool {
        match self {
            Self::Online(info) => info.specialties.contains(specialty),
            Self::Offline { .. } => false,
        }
    }
}
