//! Keeps the disk free of what nobody needs any more: at its start, then now and then, and when room is wanted.
//!
//! It removes workspaces whose run has died, kept workspaces and unused caches and mirrors by their age, and more of
//! these, in this order and the one first that was unused for longest, while all of it together is larger than it
//! may be or the disk is nearly full. What a run uses is locked and stays, whoever's run it is: workers may share a
//! root. Nothing is removed that does not lie in one of the root's three directories and look like a worker's own. In
//! the mirrors that stay it joins small packs.

mod measure;
mod things;
mod upkeep;

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use shared::config::WorkspaceConfig;
use tokio_util::sync::CancellationToken;

use self::{
    measure::measure,
    things::{Kind, Thing, inventory},
    upkeep::keep_up,
};
use crate::{
    child::Nursery,
    disk::{Disk, Size},
    git::Git,
    work_dirs::WorkDirs,
    workspace::{LockFile, sweep},
};

/// Between two rounds that somebody asked for: what could go went with the first.
const ASKED_PAUSE: Duration = Duration::from_secs(60);

/// The loop's state.
pub struct Janitor {
    dirs: WorkDirs,
    disk: Arc<Disk>,
    limits: Limits,
    git: Git,
    nursery: Nursery,
}

/// What may stay.
#[derive(Clone, Copy, Debug)]
struct Limits {
    kept_max: Duration,
    cache_unused_max: Duration,
    mirror_unused_max: Duration,
    /// Of everything together; `None`: no limit.
    bytes_max: Option<u64>,
    between: Duration,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Workspaces of dead runs, kept ones, caches and mirrors that were removed.
    pub removed: usize,
    pub bytes: u64,
}

impl Janitor {
    pub(crate) fn new(
        config: &WorkspaceConfig,
        dirs: WorkDirs,
        disk: Arc<Disk>,
        git: Git,
        nursery: Nursery,
    ) -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let limits = Limits {
            kept_max: hours(config.keep_failed_hours),
            cache_unused_max: hours(config.cache_unused_hours),
            mirror_unused_max: hours(config.mirror_unused_hours),
            bytes_max: Some(config.bytes_max).filter(|max| *max > 0),
            between: Duration::from_millis(config.janitor_ms),
        };
        Self { dirs, disk, limits, git, nursery }
    }

    /// Works until told to end. A removal that has begun is ended first.
    pub async fn run(self, told: CancellationToken) {
        loop {
            if let Err(error) = self.round(&told).await {
                tracing::warn!(%error, root = %self.dirs.root.display(), "the disk cannot be tidied");
            }
            let next = async {
                let asked = async {
                    tokio::time::sleep(ASKED_PAUSE).await;
                    self.disk.room_wanted().await;
                };
                let _ = tokio::time::timeout(self.limits.between, asked).await;
            };
            if told.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    /// One look at everything. Does nothing while another worker's janitor looks at the same root.
    pub async fn round(&self, told: &CancellationToken) -> io::Result<Tidied> {
        let Some(_alone) = LockFile::try_acquire(&self.dirs.root.join("janitor.lock"))? else {
            return Ok(Tidied::default());
        };
        let swept = sweep(&self.dirs.workspaces, &self.nursery).await?;
        if swept > 0 {
            tracing::info!(count = swept, "removed workspaces of runs that had died");
        }
        let mut tidied = Tidied { removed: swept, bytes: 0 };
        let (mut things, live_bytes) = self.look(told).await?;
        things.sort_by_key(|thing| (thing.kind, thing.used_at));
        let mut left = Vec::new();
        for thing in things {
            let over_age = thing.unused() > self.age_max(thing.kind);
            if told.is_cancelled() || !(over_age && self.remove(&thing, "unused for long", &mut tidied).await)
            {
                left.push(thing);
            }
        }
        let left = self.make_room(left, live_bytes, &mut tidied, told).await;
        for mirror in left.iter().filter(|thing| thing.kind == Kind::Mirror) {
            // Told to end, it kills git, which leaves a mirror as it was.
            let _ = told.run_until_cancelled(self.keep_up(&mirror.path)).await;
        }
        self.nursery.empty().await?;
        Ok(tidied)
    }

    async fn keep_up(&self, mirror: &Path) {
        match keep_up(&self.git, mirror).await {
            Ok(true) => tracing::info!(mirror = %mirror.display(), "its packs were joined"),
            Ok(false) => {}
            Err(error) => tracing::warn!(mirror = %mirror.display(), %error, "its packs cannot be joined"),
        }
    }

    fn age_max(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Kept => self.limits.kept_max,
            Kind::Cache => self.limits.cache_unused_max,
            Kind::Mirror => self.limits.mirror_unused_max,
        }
    }

    /// What can be removed, measured, and how many bytes the workspaces of living runs have.
    async fn look(&self, told: &CancellationToken) -> io::Result<(Vec<Thing>, u64)> {
        let (dirs, told) = (self.dirs.clone(), told.clone());
        let bounded = self.limits.bytes_max.is_some();
        let looked = tokio::task::spawn_blocking(move || {
            let things = inventory(&dirs, &told)?;
            let live = if bounded { live_bytes(&dirs.workspaces, &told)? } else { 0 };
            Ok((things, live))
        });
        looked.await.map_err(io::Error::other)?
    }

    /// Removes, least needed first, until both limits are kept, and returns what stays.
    async fn make_room(
        &self,
        things: Vec<Thing>,
        live_bytes: u64,
        tidied: &mut Tidied,
        told: &CancellationToken,
    ) -> Vec<Thing> {
        let mut total = live_bytes + things.iter().map(|thing| thing.bytes).sum::<u64>();
        let bytes_max = self.limits.bytes_max.unwrap_or(u64::MAX);
        let mut stays = Vec::new();
        for thing in things {
            let why = if told.is_cancelled() {
                None
            } else if total > bytes_max {
                Some("workspace.bytes_max is exceeded")
            } else {
                self.disk.shortage().map(|_| "the disk is nearly full")
            };
            match why {
                Some(why) if self.remove(&thing, why, tidied).await => total -= thing.bytes,
                _ => stays.push(thing),
            }
        }
        if told.is_cancelled() {
            return stays;
        }
        if total > bytes_max {
            let (total, limit) = (Size(total), Size(bytes_max));
            tracing::warn!(%total, %limit, "what is in use exceeds workspace.bytes_max; nothing else can be removed");
        }
        if let Some(shortage) = self.disk.shortage() {
            tracing::warn!(missing = %Size(shortage.missing()), "{shortage}; nothing else can be removed");
        }
        stays
    }

    /// `false` where it is in use or cannot be removed.
    async fn remove(&self, thing: &Thing, why: &str, tidied: &mut Tidied) -> bool {
        let (what, path, size) = (thing.kind.name(), thing.path.display(), Size(thing.bytes));
        match thing.remove(&self.nursery).await {
            Ok(true) => {
                let unused_hours = thing.unused().as_secs() / 3_600;
                tracing::info!(what, %path, %size, unused_hours, why, "removed");
                tidied.removed += 1;
                tidied.bytes += thing.bytes;
                true
            }
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(what, %path, %size, %error, "cannot be removed");
                false
            }
        }
    }
}

fn live_bytes(workspaces: &Path, told: &CancellationToken) -> io::Result<u64> {
    let kept = crate::workspace::kept(workspaces)?;
    let mut bytes = 0;
    for entry in fs::read_dir(workspaces)? {
        let path = entry?.path();
        if !kept.contains(&path) {
            bytes += measure(&path, told);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
