//! The processes of a cluster, each with a network of its own to one Redis, and the faults that they meet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::{FaultProxy, RedisServer};
use tokio::time::sleep;

use crate::{
    report::Faults,
    schedule::{Fault, Step},
};

/// How long processes may take to end when they are told to.
const END_MAX: Duration = Duration::from_secs(60);

/// Makes the command of a process, given the URL of its Redis.
pub type Start = Box<dyn Fn(&str) -> Command + Send + Sync>;

/// One process that is started again whenever it was killed.
struct Member {
    name: String,
    start: Start,
    network: FaultProxy,
    child: Option<Child>,
    frozen: bool,
    /// Not to be started again: it has ended by itself with success.
    done: bool,
}

/// All processes, and Redis.
pub struct Crew {
    pub redis: RedisServer,
    logs: PathBuf,
    members: Vec<Member>,
    pub met: Faults,
}

impl Crew {
    /// `logs` is where the members' output goes, a file each.
    pub fn new(redis: RedisServer, logs: &Path) -> Self {
        Self { redis, logs: logs.to_owned(), members: Vec::new(), met: Faults::default() }
    }

    pub async fn add(&mut self, name: &str, start: Start) -> Result<()> {
        let network = FaultProxy::start(&self.redis.socket()).await?;
        self.members.push(Member {
            name: name.to_owned(),
            start,
            network,
            child: None,
            frozen: false,
            done: false,
        });
        self.start(self.members.len() - 1)
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Does what the steps say at their times, until `over` says that there is nothing left to disturb.
    pub async fn suffer(&mut self, steps: &[Step], over: impl AsyncFn() -> bool) -> Result<()> {
        let began = Instant::now();
        for step in steps {
            while began.elapsed() < step.at {
                sleep(step.at.saturating_sub(began.elapsed()).min(Duration::from_millis(50))).await;
            }
            if over().await {
                break;
            }
            self.meet(step.fault).with_context(|| format!("{step:?}"))?;
        }
        Ok(())
    }

    /// Ends whatever still goes wrong: everybody runs.
    pub fn recover(&mut self) -> Result<()> {
        if self.redis.pid().is_none() {
            self.redis.restart()?;
        }
        self.redis.thaw()?;
        for at in 0..self.members.len() {
            self.members[at].network.heal();
            self.thaw(at)?;
            self.start(at)?;
        }
        Ok(())
    }

    /// Whether every member that is to end by itself has done so; starts those again that failed.
    pub fn ended(&mut self, names: &str) -> Result<bool> {
        let mut all = true;
        for at in 0..self.members.len() {
            if self.members[at].name.starts_with(names) {
                self.start(at)?;
                all &= self.members[at].done;
            }
        }
        Ok(all)
    }

    /// Tells everybody to end, and waits for them.
    pub async fn stop(&mut self) -> Result<()> {
        for member in &self.members {
            member.signal(Signal::SIGTERM)?;
        }
        let began = Instant::now();
        for member in &mut self.members {
            let Some(child) = &mut member.child else { continue };
            while child.try_wait()?.is_none() {
                if began.elapsed() > END_MAX {
                    bail!("{} does not end when it is told to", member.name);
                }
                sleep(Duration::from_millis(10)).await;
            }
            member.child = None;
        }
        self.met.severed = self.members.iter().map(|member| member.network.severed()).sum();
        Ok(())
    }

    fn meet(&mut self, fault: Fault) -> Result<()> {
        let met = &mut self.met;
        match fault {
            Fault::Kill(at) => self.kill(at)?,
            Fault::Start(at) => self.start(at)?,
            Fault::Freeze(at) => self.freeze(at)?,
            Fault::Thaw(at) => self.thaw(at)?,
            Fault::Cut(at) => {
                met.networks += 1;
                self.members[at].network.cut();
            }
            Fault::Refuse(at) => {
                met.networks += 1;
                self.members[at].network.refuse(true);
            }
            Fault::Network(at, direction, mode) => {
                met.networks += 1;
                self.members[at].network.set(direction, mode);
            }
            Fault::Heal(at) => self.members[at].network.heal(),
            Fault::KillRedis => {
                met.redis_kills += 1;
                self.redis.kill()?;
            }
            Fault::StartRedis => self.start_redis()?,
            Fault::FreezeRedis if self.redis.pid().is_some() => {
                met.redis_freezes += 1;
                self.redis.freeze()?;
            }
            Fault::ThawRedis if self.redis.pid().is_some() => self.redis.thaw()?,
            Fault::FreezeRedis | Fault::ThawRedis => {}
            Fault::StopAll => {
                met.full_stops += 1;
                for at in 0..self.members.len() {
                    self.kill(at)?;
                }
                self.redis.kill()?;
            }
            Fault::StartAll => {
                self.start_redis()?;
                for at in 0..self.members.len() {
                    self.start(at)?;
                }
            }
        }
        Ok(())
    }

    fn start_redis(&mut self) -> Result<()> {
        if self.redis.pid().is_none() { self.redis.restart() } else { Ok(()) }
    }

    fn kill(&mut self, at: usize) -> Result<()> {
        let member = &mut self.members[at];
        if let Some(mut child) = member.child.take() {
            if child.try_wait()?.is_none() {
                self.met.kills += 1;
            }
            let _ = child.kill();
            child.wait()?;
        }
        member.frozen = false;
        Ok(())
    }

    /// Starts the member unless it runs, or has done what it was for.
    fn start(&mut self, at: usize) -> Result<()> {
        let member = &mut self.members[at];
        if let Some(child) = &mut member.child {
            match child.try_wait()? {
                None => return Ok(()),
                Some(status) if status.success() => member.done = true,
                Some(_) => {}
            }
            member.child = None;
        }
        if member.done {
            return Ok(());
        }
        let log = self.logs.join(format!("{}.log", member.name));
        let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = (member.start)(&member.network.redis_url());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        member.child = Some(command.spawn().with_context(|| format!("{} does not start", member.name))?);
        Ok(())
    }

    fn freeze(&mut self, at: usize) -> Result<()> {
        let member = &mut self.members[at];
        if member.child.is_some() && !member.frozen {
            self.met.freezes += 1;
            member.frozen = true;
            member.signal(Signal::SIGSTOP)?;
        }
        Ok(())
    }

    fn thaw(&mut self, at: usize) -> Result<()> {
        self.members[at].frozen = false;
        self.members[at].signal(Signal::SIGCONT)
    }
}

impl Member {
    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ids of living processes, other than this one, that have `marker` in their command line or environment.
pub fn processes_with(marker: &str) -> Vec<u32> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_marker = |pid: &u32| {
        ["cmdline", "environ"].iter().any(|file| {
            let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(marker)
        })
    };
    pids.filter(|pid| *pid != own).filter(has_marker).collect()
}

/// The end of each log in `dir`.
pub fn logs(dir: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            let log = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(8)..];
            text.extend([entry.path().display().to_string().as_str(), ":\n", &last.join("\n"), "\n"]);
        }
    }
    text
}
