//! The real program, from signed webhooks to pushed branches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use shared::{FailureClass, Specialty, Status, TaskId, TaskRecord, config::Config, queue::Queue};
use testkit::{GitRemote, RedisServer, webhook::Opened};
use tokio::time::{sleep, timeout};

use crate::{
    crew::{Crew, logs, processes_with},
    history::{History, histories},
    queue_level::still_there,
    report::{Report, Tally},
    schedule::{Shape, schedule},
};

const LEASE: Duration = Duration::from_secs(2);
const BEAT_MS: u64 = 400;
const SWEEP_MS: u64 = 200;

const WORKERS: usize = 3;
const INGESTERS: usize = 2;
const SLOTS: usize = 2;

const SECRET: &str = "a secret of the chaos suite";
const REPOSITORY: &str = "octo/cat";

/// Before a delivery that was not taken is made again, and how long one may take.
const AGAIN: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// How long nothing may change once everything is well again.
const STANDSTILL_MAX: Duration = Duration::from_secs(120);

/// Leaves a process behind that outlives its group.
const AGENT: &str =
    "#!/bin/sh\ncat > prompt.txt\nsetsid sleep 600 &\necho 42 > answer\necho 'It is 42 now.'\n";

/// Notes every push: when, and which commit it put where.
const POST_RECEIVE: &str = "#!/bin/sh\nwhile read -r old new ref; do echo \"$new $ref\" >> pushes; done\n";

/// One run.
#[derive(Clone, Debug)]
pub struct ClusterLevel {
    pub seed: u64,
    /// Issues, each delivered until somebody has taken it.
    pub issues: u64,
    /// Between two deliveries.
    pub every: Duration,
    /// Between two faults.
    pub pace: Duration,
    /// The `claude-cluster` program.
    pub program: PathBuf,
}

impl ClusterLevel {
    /// Runs and judges. An error says what was violated.
    pub async fn run(&self) -> Result<Report> {
        let began = Instant::now();
        let dir = tempfile::Builder::new().prefix("chaos-").tempdir_in("/tmp")?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let remote = GitRemote::with_files(&[("answer", "41\n")])?;
        script(&remote.path().join("hooks/post-receive"), POST_RECEIVE)?;
        script(&dir.path().join("agent"), AGENT)?;
        let redis = RedisServer::start()?;
        let queue = open(&redis.url())?;
        let mut crew = Crew::new(redis, dir.path());
        let urls = self.muster(&mut crew, dir.path(), &remote).await?;
        let delivering = tokio::spawn(self.clone().deliver_all(urls));
        let shape =
            Shape { members: crew.size(), length: Duration::from_secs(3_600), pace: self.pace, lease: LEASE };
        let over = async || delivering.is_finished() && at_rest(&queue).await.is_some_and(|(rest, _)| rest);
        crew.suffer(&schedule(self.seed, shape), over).await?;
        crew.recover()?;
        let accepted = delivering.await??;
        self.come_to_rest(&mut crew, &queue).await.with_context(|| logs(dir.path()))?;
        crew.stop().await?;
        let tally = self
            .judge(&queue, &crew, dir.path(), &remote, &accepted)
            .await
            .with_context(|| logs(dir.path()))?;
        Ok(Report { seed: self.seed, seconds: began.elapsed().as_secs(), faults: crew.met, tally })
    }

    /// Starts everybody; the addresses of the ingesters' webhooks.
    async fn muster(&self, crew: &mut Crew, dir: &Path, remote: &GitRemote) -> Result<Vec<String>> {
        let config = dir.join("config.toml");
        let entry =
            format!("[[repository]]\nmatch = \"{REPOSITORY}\"\nurl = \"{}\"\n", remote.path().display());
        fs::write(&config, entry)?;
        let mut urls = Vec::new();
        for i in 0..INGESTERS {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            urls.push(format!("http://{address}/webhook/github"));
            let listen = address.to_string();
            let arguments = ["ingest", "--listen", &listen, "--api-listen", "127.0.0.1:0"];
            self.add(crew, dir, &format!("ingester-{i}"), &arguments).await?;
        }
        for i in 0..WORKERS {
            let (name, slots) = (format!("worker-{i}"), SLOTS.to_string());
            self.add(crew, dir, &name, &["worker", "--node-id", &name, "--max-tasks", &slots]).await?;
        }
        Ok(urls)
    }

    async fn add(&self, crew: &mut Crew, dir: &Path, name: &str, arguments: &[&str]) -> Result<()> {
        let state = dir.join(name);
        fs::create_dir(&state)?;
        let (program, agent, config) = (self.program.clone(), dir.join("agent"), dir.join("config.toml"));
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let start = move |url: &str| {
            let mut command = Command::new(&program);
            command
                .env_clear()
                .args(&arguments)
                .arg("--config")
                .arg(&config)
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("HOME", &state)
                .env("XDG_STATE_HOME", &state)
                .env("XDG_CONFIG_HOME", &state)
                .env("REDIS_URL", url)
                .env("GITHUB_WEBHOOK_SECRET", SECRET)
                .env("CLAUDE_CLUSTER__REDIS__CONNECT_TIMEOUT_MS", "500")
                .env("CLAUDE_CLUSTER__REDIS__RESPONSE_TIMEOUT_MS", "1500")
                .env("CLAUDE_CLUSTER__QUEUE__LEASE_MS", LEASE.as_millis().to_string())
                .env("CLAUDE_CLUSTER__QUEUE__BEAT_MS", BEAT_MS.to_string())
                .env("CLAUDE_CLUSTER__QUEUE__SWEEP_MS", SWEEP_MS.to_string())
                .env("CLAUDE_CLUSTER__QUEUE__RETRY_BASE_MS", "200")
                .env("CLAUDE_CLUSTER__AGENT__DRIVER", "command")
                .env("CLAUDE_CLUSTER__AGENT__COMMAND", &agent)
                .current_dir(&state);
            command
        };
        crew.add(name, Box::new(start)).await
    }

    /// Delivers each issue until it is taken; the tasks that the answers named.
    async fn deliver_all(self, urls: Vec<String>) -> Result<BTreeSet<String>> {
        let mut deliveries = tokio::task::JoinSet::new();
        for issue in 1..=self.issues {
            deliveries.spawn(deliver(urls.clone(), issue));
            sleep(self.every).await;
        }
        let mut accepted = BTreeSet::new();
        while let Some(task) = deliveries.join_next().await {
            accepted.insert(task??);
        }
        Ok(accepted)
    }

    async fn come_to_rest(&self, crew: &mut Crew, queue: &Queue) -> Result<()> {
        let (mut last, mut changed_at) = (None, Instant::now());
        loop {
            crew.ended("")?;
            let now = at_rest(queue).await;
            let mut due = 0;
            for specialty in queue.specialties().await.unwrap_or_default() {
                due += crew.redis.command::<u64>(&["XLEN", &format!("ccc:{{{specialty}}}:outbox")])?;
            }
            if now.as_ref().is_some_and(|(rest, _)| *rest) && due == 0 {
                return Ok(());
            }
            let now = Some((now, due));
            if now != last {
                (last, changed_at) = (now, Instant::now());
            }
            ensure!(changed_at.elapsed() < STANDSTILL_MAX, "nothing moves: {last:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn judge(
        &self,
        queue: &Queue,
        crew: &Crew,
        dir: &Path,
        remote: &GitRemote,
        accepted: &BTreeSet<String>,
    ) -> Result<Tally> {
        let mut wrong = Vec::new();
        let histories = histories(queue, &queue.specialties().await?).await?;
        let mut tally = Tally { accepted: accepted.len() as u64, ..Tally::default() };
        let mut by_issue: BTreeMap<u64, Vec<TaskRecord>> = BTreeMap::new();
        for (id, history) in &histories {
            let id: TaskId = id.parse()?;
            let Some(record) = queue.task(&id).await? else {
                wrong.push(format!("{id} has no record"));
                continue;
            };
            if let Err(error) = judge_end(history, &record, &mut tally) {
                wrong.push(format!("{id}: {error:#}; {history:?}; {record:?}"));
            }
            by_issue.entry(record.issue.unwrap_or_default()).or_default().push(record);
        }
        let lost = accepted.iter().filter(|id| !histories.contains_key(*id));
        wrong.extend(lost.map(|id| format!("{id} was accepted and is not there")));
        if by_issue.len() as u64 != self.issues {
            wrong.push(format!("{} issues have tasks, not {}", by_issue.len(), self.issues));
        }
        wrong.extend(judge_branches(remote, &by_issue, &mut tally)?);
        wrong.extend(still_there(&crew.redis)?);
        let marker = dir.display().to_string();
        wrong.extend(processes_with(&marker).iter().map(|pid| format!("process {pid} is left")));
        for worker in 0..WORKERS {
            let workspaces = dir.join(format!("worker-{worker}/claude-cluster/workspaces"));
            for left in fs::read_dir(workspaces).into_iter().flatten().flatten() {
                wrong.push(format!("workspace {} is left", left.path().display()));
            }
        }
        ensure!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
        Ok(tally)
    }
}

/// Each task settled once; failed only as poison, or cancelled as its issue's second.
fn judge_end(history: &History, record: &TaskRecord, tally: &mut Tally) -> Result<()> {
    let end = history.end().context("not settled exactly once")?;
    ensure!(end == record.status.name(), "the record says otherwise");
    ensure!(record.runs as usize == history.claims.len(), "claims and runs differ");
    tally.claims += history.claims.len() as u64;
    tally.run_again += (history.claims.len() as u64).saturating_sub(1);
    match &record.status {
        Status::Completed { .. } => tally.completed += 1,
        Status::Failed { class: FailureClass::LostWorker, .. } => {
            let lost_max = Config::defaults()?.queue.lost_workers_max;
            ensure!(record.lost >= lost_max && history.losses + 1 >= lost_max, "poison too early");
            tally.poisoned += 1;
        }
        Status::Failed { class: FailureClass::Transient, .. } => {
            ensure!(record.attempts >= Config::defaults()?.queue.attempts_max, "given up too early");
            tally.failed += 1;
        }
        Status::Cancelled { reason, .. } if reason.contains("duplicate") => {}
        other => bail!("{other:?}"),
    }
    Ok(())
}

/// One branch an issue; what is on it is what its last completed task says; each push was of a task of the issue.
fn judge_branches(
    remote: &GitRemote,
    by_issue: &BTreeMap<u64, Vec<TaskRecord>>,
    tally: &mut Tally,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut heads: HashMap<String, String> = HashMap::new();
    for line in
        remote.git(&["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/claude"])?.lines()
    {
        let (branch, commit) = line.split_once(' ').context("a branch and its commit")?;
        heads.insert(branch.to_owned(), commit.to_owned());
    }
    let pushes = fs::read_to_string(remote.path().join("pushes")).unwrap_or_default();
    let mut expected = BTreeSet::new();
    for (issue, records) in by_issue {
        let mut completed: Vec<_> = records
            .iter()
            .filter_map(|record| match &record.status {
                Status::Completed { finished_at, result } => Some((finished_at, result)),
                _ => None,
            })
            .collect();
        completed.sort_by_key(|(at, _)| **at);
        let Some((_, result)) = completed.last() else {
            // Poison may have been published by a worker that was then lost.
            heads.retain(|branch, _| !branch.starts_with(&format!("claude/issue-{issue}-")));
            continue;
        };
        let branch = result.branch.clone().unwrap_or_default();
        if heads.get(&branch) != result.commit.as_ref() {
            wrong.push(format!("{branch} is at {:?}, the task says {:?}", heads.get(&branch), result.commit));
        }
        let times = pushes.lines().filter(|line| line.ends_with(&format!(" refs/heads/{branch}"))).count();
        tally.replaced += (times as u64).saturating_sub(completed.len() as u64);
        expected.insert(branch);
    }
    wrong.extend(
        heads.keys().filter(|branch| !expected.contains(*branch)).map(|b| format!("branch {b} is left")),
    );
    Ok(wrong)
}

/// Delivers until the issue's task is named.
async fn deliver(urls: Vec<String>, issue: u64) -> Result<String> {
    let (title, guid) = (format!("Correct the answer of the api, number {issue}"), format!("guid-{issue}"));
    let opened = Opened { repository: REPOSITORY, issue, title: &title, guid: &guid };
    for url in urls.iter().cycle().skip(issue as usize) {
        let answer = timeout(ANSWER_MAX, opened.deliver(url, SECRET)).await;
        match answer {
            Ok(Ok((200 | 202, answer))) => {
                return Ok(answer["task_id"].as_str().with_context(|| format!("{answer}"))?.to_owned());
            }
            Ok(Ok((503, _)) | Err(_)) | Err(_) => sleep(AGAIN).await,
            Ok(Ok((status, answer))) => bail!("issue {issue}: {status} {answer}"),
        }
    }
    bail!("no ingester")
}

/// Whether nothing waits or runs, and how many have ended; `None` while Redis does not tell.
async fn at_rest(queue: &Queue) -> Option<(bool, u64)> {
    let specialties: Vec<Specialty> = queue.specialties().await.ok()?;
    let (mut open, mut ended) = (0, 0);
    for specialty in specialties {
        let counts = queue.counts(&specialty).await.ok()?;
        open += counts.pending + counts.active + counts.delayed + counts.held;
        ended += counts.completed + counts.failed + counts.cancelled;
    }
    Some((open == 0, ended))
}

fn open(url: &str) -> Result<Queue> {
    let mut config = Config::defaults()?;
    config.redis.url = url.to_owned().into();
    config.redis.response_timeout_ms = 800;
    Ok(Queue::open(&config.redis, &config.queue)?)
}

fn script(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
