//! Running programs so that no process of theirs outlives the run.
//!
//! Whoever drops a [`Running`] program kills it: a cancelled future is a killed program. The dying tree is
//! handed to the run's [`Nursery`], and [`Nursery::empty`] returns when nothing of it is left.

mod captured;
mod start;

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    time::{Instant, sleep, timeout},
};

pub(crate) use self::captured::{Captured, capture};
use crate::{
    output::{Line, Lines},
    process_tree::{children_of, group_lives},
};

/// How long a killed tree may take to vanish before that is an error; only a broken disk or kernel needs it.
const DEATH_WAIT_MAX: Duration = Duration::from_secs(60);

/// A tree that still lives is killed again so often.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// Bubblewrap that has no child for so long hangs in its set-up and is killed itself.
const SETUP_WAIT_MAX: Duration = Duration::from_secs(2);

/// What has to be killed for the whole tree to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The process group: for git, whose helpers stay in it.
    Group,
    /// The first process of a PID namespace, the direct child of bubblewrap: the kernel takes the rest along,
    /// and bubblewrap ends only after it.
    Namespace,
    /// The supervisor, by SIGTERM: it kills its descendants and ends after the last.
    Supervised,
}

/// A program about to be started.
pub(crate) struct Job {
    pub command: std::process::Command,
    pub ends: Ends,
}

/// The trees of one run that were killed and may not be gone yet.
#[derive(Clone, Default)]
pub(crate) struct Nursery(Arc<Mutex<Vec<Tree>>>);

impl Nursery {
    /// Starts `job` with its three pipes. Call it on a thread of the runtime: the child is told to die with
    /// the thread that started it.
    pub(crate) fn start(&self, job: Job) -> io::Result<Running> {
        let mut child = start::spawn(job.command, job.ends)?;
        Ok(Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            tree: Some(Tree { child, ends: job.ends, started: Instant::now() }),
            nursery: self.clone(),
        })
    }

    /// Waits until every process of the killed trees is gone. Cancel safe: what was not seen to end stays.
    pub(crate) async fn empty(&self) -> io::Result<()> {
        loop {
            let mut dying = Dying { tree: self.trees().pop(), nursery: self };
            let Some(tree) = dying.tree.as_mut() else { return Ok(()) };
            tree.end().await?;
            dying.tree = None;
        }
    }

    fn trees(&self) -> MutexGuard<'_, Vec<Tree>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A tree that somebody waits for, and that goes back to the nursery when they no longer do.
struct Dying<'a> {
    tree: Option<Tree>,
    nursery: &'a Nursery,
}

impl Drop for Dying<'_> {
    fn drop(&mut self) {
        if let Some(tree) = self.tree.take() {
            self.nursery.trees().push(tree);
        }
    }
}

/// A started program; killed when dropped before [`Running::wait`] has returned.
pub(crate) struct Running {
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
    tree: Option<Tree>,
    nursery: Nursery,
}

impl Running {
    /// The exit code, 128 + the signal's number for a signal. Cancel safe.
    pub(crate) async fn wait(&mut self) -> io::Result<i32> {
        let Some(tree) = self.tree.as_mut() else { return Err(io::Error::other("waited for twice")) };
        let status = tree.child.wait().await?;
        self.tree = None;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Ok(status.code().or(signal.map(|number| 128 + number)).unwrap_or(-1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(tree) = self.tree.take() {
            tree.kill();
            self.nursery.trees().push(tree);
        }
    }
}

struct Tree {
    child: Child,
    ends: Ends,
    started: Instant,
}

impl Tree {
    /// `None` once the child was waited for: its number may belong to another by then.
    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
    }

    fn kill(&self) {
        let Some(pid) = self.pid() else { return };
        // ESRCH is the goal, not an error.
        let _ = match self.ends {
            Ends::Group => killpg(pid, Signal::SIGKILL),
            Ends::Supervised => kill(pid, Signal::SIGTERM),
            Ends::Namespace => {
                let inner = children_of(pid);
                if inner.is_empty() && self.started.elapsed() > SETUP_WAIT_MAX {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                inner.into_iter().try_for_each(|child| kill(child, Signal::SIGKILL))
            }
        };
    }

    async fn end(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + DEATH_WAIT_MAX;
        let group = self.pid();
        loop {
            self.kill();
            match timeout(KILL_AGAIN, self.child.wait()).await {
                Ok(status) => {
                    status?;
                    break;
                }
                Err(_) if Instant::now() > deadline => return Err(still_alive()),
                Err(_) => {}
            }
        }
        // A group outlives its first process until the last helper is gone.
        let Some(group) = group.filter(|_| self.ends == Ends::Group) else { return Ok(()) };
        while group_lives(group) {
            if Instant::now() > deadline {
                return Err(still_alive());
            }
            let _ = killpg(group, Signal::SIGKILL);
            sleep(KILL_AGAIN).await;
        }
        Ok(())
    }
}

fn still_alive() -> io::Error {
    io::Error::other(format!("a killed process is still there after {} s", DEATH_WAIT_MAX.as_secs()))
}

/// Reached only by a tree that nobody waits for any more, because the run itself was dropped.
impl Drop for Tree {
    fn drop(&mut self) {
        self.kill();
        if let (Ends::Namespace, Some(pid)) = (self.ends, self.pid()) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// What a program may use up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub wall_clock: Duration,
    /// Longest time without a byte of output.
    pub silence: Option<Duration>,
    pub line_bytes_max: usize,
}

/// Which pipe a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipe {
    Stdout,
    Stderr,
}

/// Takes a program's lines as they come. While it waits, the program's pipe fills.
pub(crate) trait Sink: Send {
    fn line(&mut self, from: Pipe, line: Line) -> impl Future<Output = ()> + Send;
}

/// How a driven program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(i32),
    /// Killed: it ran longer than allowed.
    OverTime,
    /// Killed: it was silent longer than allowed.
    Silent,
}

/// Runs `job` to its end, feeds it `input`, hands its lines to `sink`. When this returns, no process of it is
/// alive, whether it ended by itself or by a limit.
pub(crate) async fn drive(
    nursery: &Nursery,
    job: Job,
    input: &[u8],
    limits: Limits,
    sink: &mut impl Sink,
) -> io::Result<Ending> {
    let mut running = nursery.start(job)?;
    let talk = talk(&mut running, input, limits, sink);
    let ending = timeout(limits.wall_clock, talk).await.unwrap_or(Ok(Ending::OverTime));
    drop(running);
    nursery.empty().await?;
    ending
}

async fn talk(
    running: &mut Running,
    input: &[u8],
    limits: Limits,
    sink: &mut impl Sink,
) -> io::Result<Ending> {
    let stdin = running.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A program that does not care for its input closes the pipe.
            let _ = stdin.write_all(input).await;
        }
    };
    let pipes = (running.stdout.take(), running.stderr.take());
    let read = async {
        let (Some(stdout), Some(stderr)) = pipes else { return Ok(true) };
        let mut stdout = Some(Lines::new(stdout, limits.line_bytes_max));
        let mut stderr = Some(Lines::new(stderr, limits.line_bytes_max));
        while stdout.is_some() || stderr.is_some() {
            let next = async {
                tokio::select! {
                    line = next_of(&mut stdout) => (Pipe::Stdout, line),
                    line = next_of(&mut stderr) => (Pipe::Stderr, line),
                }
            };
            // Only the wait for output counts as silence, not the wait for a sink that is full.
            let Some((from, line)) = within(limits.silence, next).await else { return Ok(false) };
            match line? {
                Some(line) => sink.line(from, line).await,
                None if from == Pipe::Stdout => stdout = None,
                None => stderr = None,
            }
        }
        io::Result::Ok(true)
    };
    let heard = {
        let mut feed = std::pin::pin!(feed);
        let mut read = std::pin::pin!(read);
        let mut input_gone = false;
        loop {
            tokio::select! {
                heard = &mut read => break heard?,
                () = &mut feed, if !input_gone => input_gone = true,
            }
        }
    };
    if !heard {
        return Ok(Ending::Silent);
    }
    match within(limits.silence, running.wait()).await {
        Some(code) => Ok(Ending::Exited(code?)),
        None => Ok(Ending::Silent),
    }
}

async fn next_of<R: tokio::io::AsyncRead + Unpin>(lines: &mut Option<Lines<R>>) -> io::Result<Option<Line>> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

async fn within<T>(limit: Option<Duration>, wait: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, wait).await.ok(),
        None => Some(wait.await),
    }
}
