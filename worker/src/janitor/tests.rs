use std::{
    fs::File,
    path::PathBuf,
    time::{Instant, SystemTime},
};

use super::*;
use crate::{in_use::InUse, workspace::Workspace};

const KIB: u64 = 1_024;
const MIB: usize = 1 << 20;

/// A root with things of different ages in it.
struct Yard {
    dir: tempfile::TempDir,
    config: WorkspaceConfig,
}

impl Yard {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["workspaces", "mirrors", "caches"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut config = shared::config::Config::defaults().unwrap().workspace;
        config.free_bytes_min = 0;
        Self { dir, config }
    }

    /// A directory of about a megabyte.
    fn dir(&self, path: &str) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.join("tree")).unwrap();
        fs::write(path.join("tree/file"), vec![7; MIB]).unwrap();
        path
    }

    fn kept(&self, name: &str, hours: u64) -> PathBuf {
        let path = self.dir(&format!("workspaces/{name}.kept"));
        age(&path, hours);
        path
    }

    fn cache(&self, digit: char, hours: u64) -> PathBuf {
        let path = self.dir(&format!("caches/{}", digit.to_string().repeat(16)));
        File::create(path.with_extension("used")).unwrap();
        age(&path.with_extension("used"), hours);
        path
    }

    fn mirror(&self, digit: char, hours: u64) -> PathBuf {
        let path = self.dir(&format!("mirrors/octo-cat-{}.git", digit.to_string().repeat(16)));
        for part in ["used", "lock"] {
            File::create(path.with_extension(part)).unwrap();
        }
        age(&path.with_extension("used"), hours);
        path
    }

    fn janitor(&self) -> Janitor {
        let root = self.dir.path();
        let [workspaces, mirrors, caches] = ["workspaces", "mirrors", "caches"].map(|name| root.join(name));
        let dirs = WorkDirs { root: root.to_owned(), workspaces, mirrors, caches };
        let disk = Disk::of(&dirs.root, self.config.free_bytes_min);
        let (config, nursery) = (shared::config::Config::defaults().unwrap(), Nursery::default());
        let host = crate::host::Host::new("/bin/true".into(), []);
        let git = Git::new(&config, &host, nursery.clone());
        Janitor::new(&self.config, dirs, Arc::new(disk), git, nursery)
    }

    async fn round(&self) -> Tidied {
        self.janitor().round(&CancellationToken::new()).await.unwrap()
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(dir)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn age(path: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(hours * 3_600);
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn what_nobody_has_used_for_its_time_goes_and_what_is_younger_stays() {
    let yard = Yard::new();
    let young = [yard.kept("a-1", 167), yard.cache('a', 335), yard.mirror('a', 719)];
    let old = [yard.kept("b-2", 169), yard.cache('b', 337), yard.mirror('b', 721)];
    let tidied = yard.round().await;
    assert!(young.iter().all(|path| path.is_dir()), "{young:?}");
    assert!(!old.iter().any(|path| path.exists()), "{old:?}");
    assert_eq!(tidied.removed, 3);
    assert!(tidied.bytes >= 3 * MIB as u64 && tidied.bytes < 4 * MIB as u64, "{}", tidied.bytes);
    let digest = "a".repeat(16);
    assert_eq!(yard.names("caches"), [digest.clone(), format!("{digest}.used")]);
    let parts = ["git", "lock", "used"].map(|part| format!("octo-cat-{digest}.{part}"));
    assert_eq!(yard.names("mirrors"), parts, "nothing is left of the other");
}

#[tokio::test]
async fn over_the_limit_kept_workspaces_go_first_then_caches_then_mirrors_and_the_longest_unused_of_each() {
    let mut yard = Yard::new();
    let given_up = [
        yard.kept("old-1", 9),
        yard.kept("young-2", 1),
        yard.cache('a', 9),
        yard.cache('b', 1),
        yard.mirror('a', 9),
        yard.mirror('b', 1),
    ];
    for gone in 0..=given_up.len() {
        // Room for as many as are left, and for what a directory takes besides.
        yard.config.bytes_max = (given_up.len() - gone) as u64 * (MIB as u64 + 64 * KIB) + 1;
        yard.round().await;
        let left: Vec<bool> = given_up.iter().map(|path| path.exists()).collect();
        let expected: Vec<bool> = (0..given_up.len()).map(|index| index >= gone).collect();
        assert_eq!(left, expected, "{gone} have to go");
    }
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_cleared_of_all_that_is_not_in_use() {
    let mut yard = Yard::new();
    yard.config.free_bytes_min = u64::MAX;
    let live = Workspace::create(&yard.dir.path().join("workspaces"), "live-1", None).unwrap();
    let unused = [yard.kept("a-1", 0), yard.cache('a', 0), yard.mirror('a', 0)];
    let used = [yard.cache('b', 9_999), yard.mirror('b', 9_999)];
    let mut held = Vec::new();
    for path in &used {
        held.push(InUse::begin(path).await.unwrap());
        // However long ago the use began.
        age(&path.with_extension("used"), 9_999);
    }
    assert_eq!(yard.round().await.removed, 3);
    assert!(!unused.iter().any(|path| path.exists()));
    assert!(used.iter().all(|path| path.is_dir()) && live.tree().is_dir(), "what is in use stays");
    drop(held);
    assert_eq!(yard.round().await.removed, 2);
    assert!(live.tree().is_dir());
}

#[tokio::test]
async fn the_workspaces_of_living_runs_count_towards_the_limit() {
    let mut yard = Yard::new();
    let live = Workspace::create(&yard.dir.path().join("workspaces"), "live-1", None).unwrap();
    fs::write(live.tree().join("large"), vec![7; 3 * MIB]).unwrap();
    let cache = yard.cache('a', 1);
    yard.config.bytes_max = 5 * MIB as u64;
    assert_eq!(yard.round().await, Tidied::default());
    yard.config.bytes_max = 3 * MIB as u64;
    yard.round().await;
    assert!(!cache.exists() && live.tree().join("large").exists());
}

#[tokio::test]
async fn nothing_that_is_somebody_elses_is_removed_and_no_link_is_followed() {
    let mut yard = Yard::new();
    yard.config.bytes_max = 1;
    yard.config.keep_failed_hours = 0;
    let precious = tempfile::tempdir().unwrap();
    fs::create_dir(precious.path().join("tree")).unwrap();
    let foreign = ["workspaces/project-1", "workspaces/x.kept", "caches/pip", "mirrors/mine.git", "other"];
    for path in foreign {
        fs::create_dir_all(yard.dir.path().join(path).join("src")).unwrap();
    }
    let digest = "a".repeat(16);
    let links = [
        "workspaces/task-1".to_owned(),
        "workspaces/task-2.kept".to_owned(),
        format!("caches/{digest}"),
        format!("mirrors/octo-cat-{digest}.git"),
    ];
    for link in &links {
        std::os::unix::fs::symlink(precious.path(), yard.dir.path().join(link)).unwrap();
    }
    let kept = yard.kept("own-1", 1);
    std::os::unix::fs::symlink(precious.path(), kept.join("tree/link")).unwrap();

    assert_eq!(yard.round().await.removed, 1, "the worker's own");
    assert!(!kept.exists() && precious.path().join("tree").is_dir());
    assert!(foreign.iter().all(|path| yard.dir.path().join(path).is_dir()));
    assert!(links.iter().all(|link| yard.dir.path().join(link).is_symlink()));
}

#[tokio::test]
async fn what_a_died_worker_left_half_made_is_found_and_two_janitors_do_not_meet() {
    let mut yard = Yard::new();
    yard.config.mirror_unused_hours = 0;
    let half = yard.dir(&format!("mirrors/octo-cat-{}.new", "a".repeat(16)));
    let other = LockFile::try_acquire(&yard.dir.path().join("janitor.lock")).unwrap();
    assert_eq!(yard.round().await, Tidied::default());
    drop(other);
    // Its time begins when it is first seen.
    yard.round().await;
    yard.round().await;
    assert!(!half.exists());
    assert_eq!(yard.names("mirrors"), [] as [&str; 0]);
}

#[tokio::test]
async fn it_works_at_its_start_then_again_and_again_until_it_is_told_to_end() {
    let mut yard = Yard::new();
    yard.config.janitor_ms = 10;
    let gone = async |path: PathBuf| {
        let began = Instant::now();
        while path.exists() {
            assert!(began.elapsed() < Duration::from_secs(60), "{} stays", path.display());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let first = yard.kept("a-1", 200);
    let told = CancellationToken::new();
    let working = tokio::spawn(yard.janitor().run(told.clone()));
    gone(first).await;
    gone(yard.kept("b-2", 200)).await;
    told.cancel();
    working.await.unwrap();
}

#[tokio::test]
async fn many_small_packs_of_a_mirror_are_joined_and_no_object_is_lost() {
    let yard = Yard::new();
    let remote = testkit::GitRemote::with_files(&[("file", "0")]).unwrap();
    for number in 1..=21 {
        remote.commit("main", &[("file", &number.to_string())]).unwrap();
        remote.git(&["repack", "-d", "--quiet"]).unwrap();
    }
    let forgotten = remote.git(&["rev-parse", "main"]).unwrap();
    remote.git(&["update-ref", "refs/heads/main", "main~1"]).unwrap();
    let mirror = yard.dir.path().join(format!("mirrors/octo-cat-{}.git", "a".repeat(16)));
    std::os::unix::fs::symlink(&mirror, remote.path().with_extension("moved")).unwrap();
    fs::rename(remote.path(), &mirror).unwrap();
    fs::rename(remote.path().with_extension("moved"), remote.path()).unwrap();
    fs::write(mirror.join("objects/pack/tmp_pack_x"), "of a fetch that was killed").unwrap();
    let names = || yard.names(&format!("mirrors/octo-cat-{}.git/objects/pack", "a".repeat(16)));
    let packs = || names().iter().filter(|name| name.contains(".pack")).count();
    assert!(packs() > 20, "{:?}", names());

    yard.round().await;
    assert!(packs() < 5, "{:?}", names());
    assert!(!names().contains(&"tmp_pack_x".to_owned()));
    remote.git(&["fsck", "--strict"]).unwrap();
    remote.git(&["cat-file", "-e", &format!("{forgotten}^{{tree}}")]).unwrap();
}
