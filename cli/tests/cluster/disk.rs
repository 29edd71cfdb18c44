//! A disk that fills up, seen from the worker that works on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use shared::{Status, queue::Why};

use crate::pc::{Cluster, LONG, Pc, agents, until};

/// Size of the worker's own file system, and what must be free on it, in bytes.
const DISK_BYTES: u64 = 64 << 20;
const FREE_BYTES_MIN: u64 = 32 << 20;

/// Changes something, at once.
const QUICK_AGENT: &str = "#!/bin/sh\ncat > /dev/null\necho again >> README\n";

/// A worker whose root is a small file system that only it sees.
struct SmallDisk {
    _worker: Pc,
    /// The process within bubblewrap.
    worker: u32,
    /// Where the root is found from outside.
    root: PathBuf,
}

impl SmallDisk {
    async fn of(cluster: &Cluster) -> Self {
        let (state, root) = (cluster.dir.path().join("pc-1"), cluster.dir.path().join("root"));
        fs::create_dir_all(&state).unwrap();
        fs::create_dir_all(&root).unwrap();
        let worker = Pc::starting(confined(cluster, &state, &root), &state, "w1");
        until("it is ready", || async { worker.log().contains("worker is ready").then_some(()) }).await;
        let inner = agents("w1-on-a-small-disk").into_iter().max().expect("it runs");
        Self { _worker: worker, worker: inner, root: seen_from_outside(inner, &root) }
    }

    fn fill(&self) {
        fs::write(self.root.join("filler"), vec![1; (DISK_BYTES - FREE_BYTES_MIN + (1 << 20)) as usize])
            .unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Bubblewrap's own end would not be its child's.
        let _ = kill(Pid::from_raw(self.worker.cast_signed()), Signal::SIGKILL);
    }
}

fn confined(cluster: &Cluster, state: &Path, root: &Path) -> Command {
    let mut worker = cluster.command(state);
    worker
        .args(["worker", "--node-id", "w1-on-a-small-disk"])
        .env("CLAUDE_CLUSTER__WORKSPACE__ROOT", root)
        .env("CLAUDE_CLUSTER__WORKSPACE__FREE_BYTES_MIN", FREE_BYTES_MIN.to_string())
        .env("CLAUDE_CLUSTER__SANDBOX__MODE", "process")
        .env("CLAUDE_CLUSTER__SANDBOX__ALLOW_SAME_USER", "true");
    let mut command = Command::new("bwrap");
    command.args(["--die-with-parent", "--dev-bind", "/", "/", "--perms", "0755"]);
    command.args(["--size", &DISK_BYTES.to_string(), "--tmpfs"]).arg(root);
    command.arg("--").arg(worker.get_program()).args(worker.get_args());
    command.env_clear().envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(state);
    command
}

fn seen_from_outside(pid: u32, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_disk_is_nearly_full_claims_nothing_says_so_and_goes_on_when_there_is_room() {
    let mut cluster = Cluster::with_agent(LONG, QUICK_AGENT);
    // Whatever user agents run as has to reach its workspace.
    fs::set_permissions(cluster.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    cluster.settings = vec![("CLAUDE_CLUSTER__TEST__COMMAND".to_owned(), "test -e README".to_owned())];
    let disk = SmallDisk::of(&cluster).await;
    let first = cluster.enqueue("a").await;
    assert!(matches!(cluster.settled(&first).await.status, Status::Completed { .. }), "there is room");

    disk.fill();
    let told = until("the beat tells it", || async {
        cluster.queue.worker("w1-on-a-small-disk").await.unwrap()?.unready
    })
    .await;
    assert!(told.contains("the disk is nearly full") && told.contains("32.0 MiB"), "{told}");
    let waiting = cluster.enqueue("b").await;
    let why = until("it waits for the disk", || async {
        let why = cluster.queue.why(&cluster.record(&waiting).await).await.unwrap()?;
        matches!(why, Why::Unready { .. }).then_some(why)
    })
    .await;
    assert!(why.to_string().contains("the disk is nearly full"), "{why}");
    let output = cluster.command(cluster.dir.path()).arg("agents").output().unwrap();
    let agents = String::from_utf8_lossy(&output.stdout);
    assert!(
        agents.contains("unready") && agents.contains("claims nothing: the disk is nearly full"),
        "{agents}"
    );
    let record = cluster.record(&waiting).await;
    assert_eq!((record.status.name(), record.attempts, record.lost), ("pending", 0, 0), "{record:?}");

    fs::remove_file(disk.root.join("filler")).unwrap();
    let record = cluster.settled(&waiting).await;
    assert!(matches!(record.status, Status::Completed { .. }), "{record:?}");
    assert_eq!(record.attempts, 0);
}
