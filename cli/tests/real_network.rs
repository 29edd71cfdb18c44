//! Spare PCs with addresses of their own: each a network namespace, joined by a bridge. They become workers by the
//! very line that `join-command` prints.
//!
//! Needs root and iproute2: `scripts/test --real`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use testkit::GitRemote;

const COORDINATOR: &str = "10.213.7.1";
const PATIENCE: Duration = Duration::from_secs(60);

/// Says where it runs, and waits until both PCs are at work.
const AGENT: &str = "#!/bin/sh\ncat > /dev/null\ntouch begun\nwhile ! test -e go; do sleep 0.05; done\nrm begun go\n\
                     sed -n 's/.*\\(10\\.213\\.7\\.[0-9]*\\).*/\\1/p' /proc/net/fib_trie | sort -u > address\n";

/// A network of namespaces; gone when dropped, with all that runs in it.
struct Network {
    prefix: String,
    dir: TempDir,
    children: Vec<Child>,
}

impl Network {
    fn new() -> Self {
        let prefix = format!("ccc{}", std::process::id());
        let network = Self { prefix, dir: tempfile::tempdir_in("/tmp").unwrap(), children: Vec::new() };
        let c = network.name("c");
        network.ip(&["netns", "add", &c]);
        network.inside("c", &["ip", "link", "set", "lo", "up"]);
        network.inside("c", &["ip", "link", "add", "br0", "type", "bridge"]);
        network.inside("c", &["ip", "addr", "add", &format!("{COORDINATOR}/24"), "dev", "br0"]);
        network.inside("c", &["ip", "link", "set", "br0", "up"]);
        network
    }

    /// A PC with an address of its own, plugged into the coordinator's bridge.
    fn plug(&self, pc: &str, address: &str) {
        let (name, c) = (self.name(pc), self.name("c"));
        self.ip(&["netns", "add", &name]);
        let here = format!("to-{pc}");
        self.ip(&["-n", &c, "link", "add", &here, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        self.ip(&["-n", &c, "link", "set", &here, "master", "br0", "up"]);
        self.ip(&["-n", &name, "link", "set", "lo", "up"]);
        self.ip(&["-n", &name, "addr", "add", &format!("{address}/24"), "dev", "eth0"]);
        self.ip(&["-n", &name, "link", "set", "eth0", "up"]);
    }

    fn name(&self, pc: &str) -> String {
        format!("{}{pc}", self.prefix)
    }

    fn ip(&self, args: &[&str]) {
        let output = Command::new("ip").args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {}: {said} (in {})", args.join(" "), self.prefix);
    }

    fn inside(&self, pc: &str, args: &[&str]) {
        assert!(self.command(pc, args).status().unwrap().success(), "{args:?}");
    }

    /// A command on a PC: its network, its host name, its home, and nothing of this machine's environment.
    fn command(&self, pc: &str, args: &[&str]) -> Command {
        let home = self.home(pc);
        fs::create_dir_all(&home).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_claude-cluster")).parent().unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(pc), "unshare", "--uts", "sh", "-c"]);
        command.args(["hostname \"$0\"; exec \"$@\"", &format!("pc-{pc}")]).args(args);
        command
            .env_clear()
            .env("HOME", &home)
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", program.display()))
            .current_dir(&home)
            .stdin(Stdio::null());
        command
    }

    fn home(&self, pc: &str) -> PathBuf {
        self.dir.path().join(pc)
    }

    fn start(&mut self, command: &mut Command) {
        self.children.push(command.spawn().unwrap());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A worker is the child of the shell that ran the line: the namespace knows it.
        for pc in ["c", "a", "b"] {
            let listed = Command::new("ip").args(["netns", "pids", &self.name(pc)]).output();
            let pids = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            for pid in pids.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = Command::new("ip").args(["netns", "del", &self.name(pc)]).status();
        }
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The tree in which an agent on the PC with this home has begun.
fn begun(home: &Path) -> Option<PathBuf> {
    let runs = fs::read_dir(home.join(".local/state/claude-cluster/workspaces")).ok()?;
    runs.flatten().map(|run| run.path().join("tree")).find(|tree| tree.join("begun").exists())
}

#[test]
#[ignore = "needs root and iproute2: scripts/test --real"]
fn two_pcs_with_addresses_of_their_own_join_by_the_printed_line_and_work() {
    let mut network = Network::new();
    network.plug("a", "10.213.7.11");
    network.plug("b", "10.213.7.12");
    let remote = GitRemote::with_files(&[("README", "sample\n")]).unwrap();
    let agent = network.dir.path().join("agent");
    fs::write(&agent, AGENT).unwrap();
    fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let data = network.home("redis");
    fs::create_dir_all(&data).unwrap();
    let config = data.join("redis.conf");
    fs::write(&config, format!("bind {COORDINATOR}\nrequirepass lan-secret\nappendonly yes\nsave \"\"\n"))
        .unwrap();
    let mut redis = network.command("c", &["redis-server", config.to_str().unwrap()]);
    network.start(redis.current_dir(&data).stdout(Stdio::null()));
    let url = format!("redis://{COORDINATOR}:6379");
    let at_coordinator = |args: &[&str]| {
        let mut command = network.command("c", &[&["claude-cluster"], args].concat());
        command.env("REDIS_URL", &url).env("REDIS_PASSWORD", "lan-secret").output().unwrap()
    };
    eventually("redis answers", || at_coordinator(&["status"]).status.success().then_some(()));
    let printed = at_coordinator(&["join-command"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let line = String::from_utf8(printed.stdout).unwrap();

    let mut workers = Vec::new();
    for pc in ["a", "b"] {
        let log = fs::File::create(network.dir.path().join(format!("{pc}.log"))).unwrap();
        let mut worker = network.command(pc, &["sh", "-c", &line]);
        worker
            .env("CLAUDE_CLUSTER__AGENT__DRIVER", "command")
            .env("CLAUDE_CLUSTER__AGENT__COMMAND", &agent)
            .env("CLAUDE_CLUSTER__WORKER__MAX_TASKS", "1")
            .stdout(Stdio::null())
            .stderr(log);
        workers.push(worker);
    }
    let issue = network.dir.path().join("issue.md");
    fs::write(&issue, "# say where you are\n").unwrap();
    let repository = remote.path().display().to_string();
    for id in ["one", "two"] {
        let made = at_coordinator(&[
            "create-task",
            "--enqueue",
            "--repo",
            &repository,
            "--issue-file",
            issue.to_str().unwrap(),
            "--task-id",
            id,
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let homes = ["a", "b"].map(|pc| network.home(pc));
    for worker in &mut workers {
        network.children.push(worker.spawn().unwrap());
    }
    for home in &homes {
        let tree = eventually("both PCs are at work", || begun(home));
        fs::write(tree.join("go"), "").unwrap();
    }
    let branches =
        eventually("both branches are pushed", || Some(remote.branches().unwrap()).filter(|b| b.len() == 3));
    let mut addresses: Vec<String> = branches
        .iter()
        .filter(|branch| *branch != "main")
        .map(|branch| {
            remote.read(branch, "address").unwrap().lines().find(|a| a.contains(".7.1")).unwrap().to_owned()
        })
        .collect();
    addresses.sort();
    assert_eq!(addresses, ["10.213.7.11", "10.213.7.12"]);
}
