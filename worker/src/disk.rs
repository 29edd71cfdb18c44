//! The file system that work is done on: what is free, and what must be.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use tokio::{sync::Notify, time::sleep};

/// Between two looks whether there is room again.
const LOOK: Duration = Duration::from_secs(2);

/// Binary units that a size is told in.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Where workspaces lie.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    free_bytes_min: u64,
    wanted: Notify,
}

/// Less is free than must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the disk is nearly full: {} free in {}, and workspace.free_bytes_min is {}",
    Size(*.free), .root.display(), Size(*.min)
)]
pub(crate) struct Shortage {
    free: u64,
    min: u64,
    root: PathBuf,
}

impl Shortage {
    /// How many bytes have to go.
    pub(crate) fn missing(&self) -> u64 {
        self.min.saturating_sub(self.free)
    }
}

impl Disk {
    pub(crate) fn of(root: &Path, free_bytes_min: u64) -> Self {
        Self { root: root.to_owned(), free_bytes_min, wanted: Notify::new() }
    }

    /// What an ordinary user may still write, in bytes.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = statvfs(&self.root)?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }

    /// Why no run may begin here now. A disk that does not tell is taken for one with room: what fails then says why.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        let free = self.free().ok().filter(|free| *free < self.free_bytes_min)?;
        Some(Shortage { free, min: self.free_bytes_min, root: self.root.clone() })
    }

    /// For Prometheus: what is free, and whether that is too little. Nothing where the disk does not tell.
    pub(crate) fn metrics(&self) -> String {
        let Ok(free) = self.free() else { return String::new() };
        let nearly_full = u8::from(free < self.free_bytes_min);
        format!(
            "# HELP workspace_disk_free_bytes What is free where workspaces lie.\n\
             # TYPE workspace_disk_free_bytes gauge\n\
             workspace_disk_free_bytes {free}\n\
             # HELP workspace_disk_nearly_full Whether no task begins, because workspace.free_bytes_min are not free.\n\
             # TYPE workspace_disk_nearly_full gauge\n\
             workspace_disk_nearly_full {nearly_full}\n"
        )
    }

    /// Asks the janitor to make room before its next round is due.
    pub(crate) fn want_room(&self) {
        self.wanted.notify_one();
    }

    /// Returns when a run may begin: at once, or after a look now and then, with the janitor asked to help.
    pub(crate) async fn room(&self) {
        while self.shortage().is_some() {
            self.want_room();
            sleep(LOOK).await;
        }
    }

    /// Returns when somebody has asked for room.
    pub(crate) async fn room_wanted(&self) {
        self.wanted.notified().await;
    }
}

/// Bytes, for people: `1.5 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1_024.0 && unit + 1 < UNITS.len() {
            value /= 1_024.0;
            unit += 1;
        }
        match unit {
            0 => write!(f, "{} B", self.0),
            _ => write!(f, "{value:.1} {}", UNITS[unit]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units_that_people_read() {
        let told = [0, 1_023, 1_536, 5 << 30, u64::MAX].map(|bytes| Size(bytes).to_string());
        assert_eq!(told, ["0 B", "1023 B", "1.5 KiB", "5.0 GiB", "16777216.0 TiB"]);
    }

    #[test]
    fn prometheus_is_told_what_is_free_and_whether_it_is_too_little() {
        let dir = tempfile::tempdir().unwrap();
        for (min, nearly_full) in [(0, 0), (u64::MAX, 1)] {
            let told = Disk::of(dir.path(), min).metrics();
            assert!(told.contains("\nworkspace_disk_free_bytes "), "{told}");
            assert!(told.ends_with(&format!("\nworkspace_disk_nearly_full {nearly_full}\n")), "{told}");
        }
        assert_eq!(Disk::of(&dir.path().join("gone"), 0).metrics(), "");
    }

    #[test]
    fn a_disk_with_less_room_than_demanded_says_so_and_one_that_does_not_tell_has_room() {
        let dir = tempfile::tempdir().unwrap();
        let shortage = Disk::of(dir.path(), u64::MAX).shortage().unwrap();
        assert!(shortage.missing() > 0 && shortage.to_string().contains("workspace.free_bytes_min"));
        assert_eq!(Disk::of(dir.path(), 0).shortage(), None);
        assert_eq!(Disk::of(&dir.path().join("gone"), u64::MAX).shortage(), None);
    }
}
