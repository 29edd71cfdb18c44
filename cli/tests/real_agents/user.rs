//! A user with a real coding CLI, a scripted model behind it, and a repository whose test wants the answer 42.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use shared::{Status, TaskId, TaskRecord, TaskSpec, config::Config, queue::Queue};
use testkit::{GitRemote, RedisServer, model_api::ModelApi};

use super::home::{Home, Running, eventually};

/// The key of every CLI here.
pub const KEY: &str = "dummy-key";

/// Green when the file `answer` says 42; it says 41.
const FILES: [(&str, &str); 2] = [("Makefile", "test:\n\t@grep -x 42 answer\n"), ("answer", "41\n")];

/// Which CLI works.
#[derive(Clone, Copy)]
pub enum Cli {
    Claude,
    Codex,
    Gemini,
}

impl Cli {
    /// Variables that name the program, or the parts of it.
    fn program(self) -> Vec<String> {
        let variables: &[&str] = match self {
            Self::Claude => &["CLAUDE_CLUSTER_TEST_CLAUDE"],
            Self::Codex => &["CLAUDE_CLUSTER_TEST_CODEX"],
            Self::Gemini => &["CLAUDE_CLUSTER_TEST_NODE", "CLAUDE_CLUSTER_TEST_GEMINI"],
        };
        let named = |name: &&str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} names no program; run scripts/test --real"))
        };
        variables.iter().map(named).collect()
    }

    fn settings(self) -> String {
        let program = self.program();
        let list = |words: &[String]| format!("[\"{}\"]", words.join("\", \""));
        match self {
            Self::Claude => format!("driver = \"claude\"\ncommand = {}\n", list(&program)),
            Self::Codex => {
                format!("driver = \"codex\"\nmodel = \"gpt-scripted\"\ncommand = {}\n", list(&program))
            }
            Self::Gemini => {
                format!("driver = \"gemini\"\nmodel = \"gemini-2.5-pro\"\ncommand = {}\n", list(&program))
            }
        }
    }

    /// Directories of the program's further files.
    fn tool_paths(self) -> Vec<PathBuf> {
        match self {
            Self::Claude | Self::Codex => Vec::new(),
            Self::Gemini => {
                self.program().iter().map(|path| Path::new(path).parent().unwrap().to_owned()).collect()
            }
        }
    }

    fn environment(self, url: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Claude => {
                vec![("ANTHROPIC_API_KEY", KEY.to_owned()), ("ANTHROPIC_BASE_URL", url.to_owned())]
            }
            Self::Codex => vec![("OPENAI_API_KEY", KEY.to_owned()), ("OPENAI_BASE_URL", format!("{url}/v1"))],
            Self::Gemini => {
                vec![("GEMINI_API_KEY", KEY.to_owned()), ("GOOGLE_GEMINI_BASE_URL", url.to_owned())]
            }
        }
    }
}

pub struct User {
    pub home: Home,
    pub remote: GitRemote,
    pub api: ModelApi,
    cli: Cli,
}

/// A workflow that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub text: String,
    pub record: Value,
}

impl User {
    pub fn new(cli: Cli, api: ModelApi) -> Self {
        Self::with(cli, api, "")
    }

    /// `agent`: further lines of `[agent]`.
    pub fn with(cli: Cli, api: ModelApi, agent: &str) -> Self {
        let home = Home::new();
        let remote = GitRemote::with_files(&FILES).unwrap();
        home.write("issue.md", "# The answer is wrong\n\nIt should be 42.\n");
        let retries = if agent.contains("retries_max") { "" } else { "retries_max = 1\n" };
        let tools: Vec<String> =
            cli.tool_paths().iter().map(|path| format!("\"{}\"", path.display())).collect();
        let config = format!(
            "[agent]\n{}{retries}{agent}\n[sandbox]\ntool_paths = [{}]\n[worker]\ndrain_ms = 500\n\
             [queue]\nlease_ms = 3000\nbeat_ms = 500\n",
            cli.settings(),
            tools.join(", ")
        );
        home.write(".config/claude-cluster/config.toml", &config);
        Self { home, remote, api, cli }
    }

    pub fn workflow(&self) -> Command {
        let remote = self.remote.path().display().to_string();
        let arguments = ["workflow", "--repo", &remote, "--issue-file", "issue.md", "--task-id", "task"];
        self.signed_in(self.home.command(&arguments))
    }

    fn signed_in(&self, mut command: Command) -> Command {
        command.envs(self.cli.environment(self.api.url()));
        command
    }

    /// One workflow from beginning to end. Nothing of it is left, and its key is nowhere in what it said.
    pub fn run(&self) -> Ended {
        self.run_command(self.workflow())
    }

    pub fn run_command(&self, mut command: Command) -> Ended {
        let output = command.output().unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let text = format!("{}{}", said(&output.stdout), said(&output.stderr));
        assert!(!text.contains(KEY), "{text}");
        self.home.assert_no_process_is_left();
        let record = self.home.run(&["status", "--task-id", "task", "--json"]).ok();
        Ended { code: output.status.code(), record: serde_json::from_str(&record).unwrap(), text }
    }

    /// What the published branch says.
    pub fn answer(&self, ended: &Ended) -> String {
        assert_eq!(ended.code, Some(0), "{}", ended.text);
        self.remote.read(ended.record["result"]["branch"].as_str().unwrap(), "answer").unwrap()
    }

    /// Processes called `sleep` that its agents have left.
    pub fn sleepers(&self) -> usize {
        self.named("sleep").len()
    }

    /// Sends a signal to every process of that name.
    pub fn signal_named(&self, name: &str, signal: Signal) {
        let pids = self.named(name);
        assert!(!pids.is_empty(), "there is no {name}");
        for pid in pids {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn named(&self, name: &str) -> Vec<i32> {
        let has_name =
            |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == name);
        self.home.processes().into_iter().filter(has_name).collect()
    }

    pub fn published_nothing(&self) {
        assert_eq!(self.remote.branches().unwrap(), ["main"]);
    }
}

impl Ended {
    /// The task failed with this class, and the person is told `words`.
    #[track_caller]
    pub fn failed(&self, class: &str, words: &str) {
        assert_eq!((self.code, self.record["status"].as_str()), (Some(1), Some("failed")), "{}", self.text);
        assert_eq!(self.record["class"].as_str(), Some(class), "{}", self.record);
        assert!(self.text.contains(words), "{}", self.text);
    }

    /// The task waits for another try, which is counted.
    #[track_caller]
    pub fn delayed(&self, words: &str) {
        assert_eq!(self.record["status"], "delayed", "{}", self.text);
        assert_eq!(self.record["attempts"], 1, "{}", self.record);
        assert!(self.text.contains(words), "{}", self.text);
    }

    /// The task is back in line and nothing was counted.
    #[track_caller]
    pub fn back_in_line(&self, words: &str) {
        assert_eq!(self.record["status"], "pending", "{}", self.text);
        assert_eq!(self.record["attempts"], 0, "{}", self.record);
        assert!(self.text.contains(words), "{}", self.text);
    }
}

/// The user's worker on a Redis that outlives it, in the middle of a task.
pub struct AtWork {
    pub worker: Running,
    redis: RedisServer,
    queue: Queue,
    id: TaskId,
    runtime: tokio::runtime::Runtime,
}

impl AtWork {
    /// Starts a worker and waits until a tool of its agent has made the file `tool-runs`.
    pub fn start(user: &User) -> Self {
        let mut at_work = Self::begin(user, |_| (), &[]);
        at_work.wait_for_tool(user);
        at_work
    }

    /// Starts a worker with further variables; its task is made otherwise by `change`.
    pub fn begin(user: &User, change: impl FnOnce(&mut TaskSpec), variables: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start().unwrap();
        let mut config = Config::defaults().unwrap();
        config.redis.url = redis.url().into();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let queue = {
            let _entered = runtime.enter();
            Queue::open(&config.redis, &config.queue).unwrap()
        };
        let repository = user.remote.path().display().to_string().parse().unwrap();
        let mut spec = TaskSpec::new("task".parse().unwrap(), repository, "The answer is wrong");
        change(&mut spec);
        runtime.block_on(queue.enqueue(&spec)).unwrap();
        Self { worker: start_worker(user, &redis, variables), redis, queue, id: spec.id, runtime }
    }

    fn wait_for_tool(&mut self, user: &User) {
        let workspaces = workspaces(user);
        eventually("the tool runs", || {
            assert!(!self.worker.output().contains("failed ("), "{}", self.worker.output());
            find(&workspaces, "tool-runs").is_some() && user.sleepers() == 2
        });
    }

    /// Another process of the same worker.
    pub fn restart(&mut self, user: &User) {
        self.worker = start_worker(user, &self.redis, &[]);
    }

    pub fn cancel(&self, user: &User) {
        let mut command = user.home.command(&["cancel", "task"]);
        command.env("REDIS_URL", self.redis.url());
        assert!(command.status().unwrap().success());
    }

    /// What the task's log holds.
    pub fn log(&self, user: &User) -> String {
        let mut command = user.home.command(&["logs", "task"]);
        let output = command.env("REDIS_URL", self.redis.url()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn record(&self) -> TaskRecord {
        self.runtime.block_on(self.queue.task(&self.id)).unwrap().unwrap()
    }

    pub fn assert_completed_in_the_end(&self) {
        eventually("the task is completed", || {
            let status = self.record().status;
            assert!(!matches!(status, Status::Failed { .. }), "{status:?}");
            matches!(status, Status::Completed { .. })
        });
    }
}

fn start_worker(user: &User, redis: &RedisServer, variables: &[(&str, &str)]) -> Running {
    let mut command = user.home.command(&["worker", "--node-id", "w1"]);
    command.env("REDIS_URL", redis.url()).envs(variables.iter().copied());
    user.home.start_command(user.signed_in(command))
}

fn workspaces(user: &User) -> PathBuf {
    user.home.path().join(".local/state/claude-cluster/workspaces")
}

/// Names of what is left of runs.
pub fn left_in_workspaces(user: &User) -> Vec<String> {
    let entries = fs::read_dir(workspaces(user)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// A file of this name below `dir`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.file_name().is_some_and(|found| found == name) {
            return Some(path);
        }
        if path.is_dir() && !path.is_symlink() { find(&path, name) } else { None }
    })
}
