//! A cluster for one test: a Redis, a git remote, and worker processes that stand for PCs.

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use shared::{
    Priority, Status, TaskId, TaskRecord, TaskSpec,
    config::{Config, RedisConfig},
    queue::Queue,
};
use tempfile::TempDir;
use testkit::{RedisServer, git::GitRemote};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lease, beat and sweep of the tight profile, in ms.
pub const TIGHT: (u64, u64, u64) = (3_000, 500, 300);

/// A lease that never ends by itself within a test.
pub const LONG: (u64, u64, u64) = (600_000, 500, 300);

pub struct Cluster {
    /// The server, where there is one; idle where the queue is on others.
    pub redis: RedisServer,
    /// The variables that name where the queue is.
    servers: Vec<(&'static str, String)>,
    pub remote: GitRemote,
    pub dir: TempDir,
    pub queue: Queue,
    /// Stands in the command line of every agent of this cluster.
    pub marker: String,
    /// Variables of every process, besides and instead of the ones that all clusters have.
    pub settings: Vec<(String, String)>,
    times: (u64, u64, u64),
    agent: PathBuf,
}

/// A worker process with a state directory of its own.
pub struct Pc {
    child: Child,
    pub state: PathBuf,
    pub log: PathBuf,
}

impl Cluster {
    /// A cluster whose repository has a green `make test`.
    pub fn new(times: (u64, u64, u64)) -> Self {
        Self::with_agent(times, WAITING_AGENT)
    }

    pub fn with_agent(times: (u64, u64, u64), agent_script: &str) -> Self {
        let redis = RedisServer::start().expect("redis-server starts");
        let url = redis.url();
        let name = |config: &mut RedisConfig| config.url = url.clone().into();
        Self::on_redis(redis, name, vec![("REDIS_URL", url.clone())], times, agent_script)
    }

    /// The same on a Redis Cluster, of one node: what lies in different slots takes several steps.
    pub fn on_slots(times: (u64, u64, u64), agent_script: &str) -> Self {
        let redis = RedisServer::start_on_port(&["--cluster-enabled", "yes"]).expect("redis-server starts");
        redis.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).expect("slots");
        while !redis.command::<String>(&["CLUSTER", "INFO"]).expect("answers").contains("cluster_state:ok") {
            std::thread::sleep(Duration::from_millis(5));
        }
        let address = redis.address();
        let name = |config: &mut RedisConfig| config.cluster = vec![address.clone()];
        let servers = vec![("CLAUDE_CLUSTER__REDIS__CLUSTER", address.clone())];
        Self::on_redis(redis, name, servers, times, agent_script)
    }

    /// The same on servers of the test's own, as `name` names them for the test and `servers` for its processes.
    pub fn on_servers(
        name: impl FnOnce(&mut RedisConfig),
        servers: Vec<(&'static str, String)>,
        times: (u64, u64, u64),
        agent_script: &str,
    ) -> Self {
        let idle = RedisServer::start().expect("redis-server starts");
        Self::on_redis(idle, name, servers, times, agent_script)
    }

    fn on_redis(
        redis: RedisServer,
        name: impl FnOnce(&mut RedisConfig),
        servers: Vec<(&'static str, String)>,
        times: (u64, u64, u64),
        agent_script: &str,
    ) -> Self {
        let remote =
            GitRemote::with_files(&[("Makefile", "test:\n\ttest -e README\n"), ("README", "sample\n")])
                .expect("a git remote");
        let dir = tempfile::Builder::new().prefix("ccc-").tempdir_in("/tmp").expect("a directory");
        let marker = format!("agent-of-{}", TaskId::generate());
        let agent = dir.path().join(&marker);
        fs::write(&agent, agent_script).expect("the agent is written");
        fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        let mut config = Config::defaults().expect("defaults");
        name(&mut config.redis);
        (config.queue.lease_ms, config.queue.beat_ms, config.queue.sweep_ms) = times;
        // What the test itself asks is to be answered, however slow the machine's disk is at that moment.
        config.redis.response_timeout_ms = 60_000;
        let queue = Queue::open(&config.redis, &config.queue).expect("the address is good");
        Self { redis, servers, remote, dir, queue, marker, settings: Vec::new(), times, agent }
    }

    /// Starts a worker called `node` on a PC called `pc`; its state outlives it.
    pub fn start(&self, pc: &str, node: &str) -> Pc {
        self.start_with(pc, node, &[])
    }

    /// The same with further variables.
    pub fn start_with(&self, pc: &str, node: &str, variables: &[(&str, &str)]) -> Pc {
        self.spawn(pc, node, &["worker", "--node-id", node], variables)
    }

    /// Starts any command on a PC, with a log called `name`.
    pub fn spawn(&self, pc: &str, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Pc {
        let state = self.dir.path().join(pc);
        fs::create_dir_all(&state).expect("a state directory");
        let mut command = self.command(&state);
        command.args(arguments).envs(variables.iter().copied());
        Pc::starting(command, &state, name)
    }

    /// The binary with nothing of this machine's environment, and this cluster's settings.
    pub fn command(&self, state: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claude-cluster"));
        let (lease, beat, sweep) = self.times;
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", state)
            .env("XDG_STATE_HOME", state)
            .env("XDG_CONFIG_HOME", state)
            .envs(self.servers.iter().map(|(name, value)| (name, value)))
            .env("GITHUB_TOKEN", "ghp_canary_token")
            .env("GITHUB_WEBHOOK_SECRET", "canary-webhook-secret")
            .env("CLAUDE_CLUSTER__QUEUE__LEASE_MS", lease.to_string())
            .env("CLAUDE_CLUSTER__QUEUE__BEAT_MS", beat.to_string())
            .env("CLAUDE_CLUSTER__QUEUE__SWEEP_MS", sweep.to_string())
            .env("CLAUDE_CLUSTER__AGENT__DRIVER", "command")
            .env("CLAUDE_CLUSTER__AGENT__COMMAND", self.agent.display().to_string())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(state)
            .stdin(Stdio::null());
        command
    }

    pub async fn enqueue(&self, id: &str) -> TaskId {
        self.enqueue_as(id, Priority::Medium).await
    }

    pub async fn enqueue_as(&self, id: &str, priority: Priority) -> TaskId {
        let repository = self.remote.path().display().to_string().parse().expect("a repository");
        let spec = TaskSpec {
            specialty: "backend".parse().expect("a specialty"),
            priority,
            ..TaskSpec::new(id.parse().expect("an id"), repository, "make it better")
        };
        self.queue.enqueue(&spec).await.expect("enqueued");
        spec.id
    }

    /// The record, also from a Redis that has just come back.
    pub async fn record(&self, id: &TaskId) -> TaskRecord {
        until("redis answers", || async { self.queue.task(id).await.ok() }).await.expect("the task exists")
    }

    /// Waits until the task is settled and returns its record.
    pub async fn settled(&self, id: &TaskId) -> TaskRecord {
        until("the task is settled", || async {
            Some(self.record(id).await).filter(|record| record.status.is_settled())
        })
        .await
    }

    /// Waits until the agent of the task's present run has begun on `pc`; returns the run's tree. What earlier
    /// runs have left there does not count.
    pub async fn begun(&self, pc: &Pc, id: &TaskId) -> PathBuf {
        let root = pc.state.join("claude-cluster/workspaces");
        until("the agent has begun", || async {
            let Status::Active { fence, .. } = self.record(id).await.status else { return None };
            let tree = root.join(format!("{id}-{fence}")).join("tree");
            tree.join("begun").exists().then_some(tree)
        })
        .await
    }

    /// Waits until the task has been claimed so many times: until then a dead worker's run is the present one.
    pub async fn claimed_times(&self, id: &TaskId, runs: u32) {
        until("the task is claimed", || async { (self.record(id).await.runs == runs).then_some(()) }).await;
    }

    /// Waits until no process of any agent of this cluster is left.
    pub async fn no_agent_left(&self) {
        until("no agent is left", || async { agents(&self.marker).is_empty().then_some(()) }).await;
    }

    pub fn branch_of(record: &TaskRecord) -> String {
        match &record.status {
            Status::Completed { result, .. } => result.branch.clone().expect("a branch"),
            other => panic!("not completed: {other:?}"),
        }
    }
}

impl Pc {
    /// Starts `command`, whose state is in `state`, with a log called `name`.
    pub fn starting(mut command: Command, state: &Path, name: &str) -> Self {
        let log = state.join(format!("{name}.log"));
        let out = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let child = command
            .stdout(out.try_clone().expect("a handle"))
            .stderr(out)
            .spawn()
            .expect("the program starts");
        Self { child, state: state.to_owned(), log }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal)
            .expect("the process is there");
    }

    /// Waits for the process and returns its exit code; `None` when a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "the worker does not end; its log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process is stopped by SIGSTOP.
    pub async fn frozen(&self) {
        until("the process is frozen", || async {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')).then_some(())
        })
        .await;
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Pc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets the agent in `tree` go on.
pub fn let_go(tree: &Path) {
    fs::write(tree.join("go"), "").expect("the tree is there");
}

/// Looks until `look` finds something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ids of living processes whose command line has `marker`.
pub fn agents(marker: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_marker = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(marker)
    };
    pids.filter(has_marker).collect()
}

/// Begins, leaves a process behind that outlives its group, and works when it is let go.
pub const WAITING_AGENT: &str = r#"#!/bin/sh
cat > /dev/null
setsid sh -c 'while :; do sleep 1; done' "$0" &
touch begun
while ! test -e go; do sleep 0.05; done
rm begun go
echo "made by run" >> README
echo "I improved the README."
"#;
