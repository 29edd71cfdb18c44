//! One child process of `up`, kept running by a thread of its own.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use shared::retry::Backoff;
use tokio::sync::mpsc;

use super::is_lasting;
use crate::die_with_parent::die_with_parent;

/// How often a part is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Waits before a part that crashed is started again.
const RESTART: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// A part that has ended for good.
#[derive(Clone, Debug)]
pub struct Ended {
    pub name: String,
    /// The exit code, 128 + the number for a signal.
    pub code: u8,
}

/// A handle on a running part. The thread behind it starts the process, because the kernel ends the process with the
/// thread that started it.
pub struct Part(Sender<()>);

impl Part {
    /// Starts this program with `arguments` and keeps it running until [`Self::terminate`], or until it ends in a way
    /// that starting it again cannot mend; then says so on `ended`.
    pub fn start(name: &str, mut arguments: Vec<OsString>, ended: mpsc::Sender<Ended>) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        arguments.insert(0, format!("--part-of={}", std::process::id()).into());
        let (terminate, told) = channel();
        let keeper = Keeper { name: name.to_owned(), told, terminating: false };
        let command = move || {
            let mut command = Command::new(&program);
            command.args(&arguments).stdin(Stdio::null());
            die_with_parent(&mut command, Signal::SIGTERM);
            command
        };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let ending = keeper.keep(command);
            // The other side waits for all endings; when it is gone, nobody is left to tell.
            let _ = ended.blocking_send(ending);
        })?;
        Ok(Self(terminate))
    }

    /// Tells the part to end; a second time, to be quick about it.
    pub fn terminate(&self) {
        let _ = self.0.send(());
    }
}

struct Keeper {
    name: String,
    told: Receiver<()>,
    terminating: bool,
}

impl Keeper {
    fn keep(mut self, command: impl Fn() -> Command) -> Ended {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let (code, how) = match command().spawn() {
                Ok(child) => {
                    let status = self.wait(child);
                    (code_of(status), status.to_string())
                }
                Err(error) => (None, error.to_string()),
            };
            if self.terminating || is_lasting(code) {
                return self.ended(code);
            }
            failures = if began.elapsed() > RESTART.cap { 0 } else { failures + 1 };
            let wait = RESTART.delay(failures);
            tracing::error!(
                part = self.name,
                how,
                wait_ms = wait.as_millis() as u64,
                "a part has ended and is started again"
            );
            if !matches!(self.told.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                return self.ended(Some(0));
            }
        }
    }

    fn ended(self, code: Option<i32>) -> Ended {
        Ended { name: self.name, code: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX) }
    }

    fn wait(&mut self, mut child: Child) -> ExitStatus {
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return status;
            }
            match self.told.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                // Disconnected: `up` could not start all its parts and leaves.
                Ok(()) | Err(RecvTimeoutError::Disconnected) => self.signal(&child),
            }
        }
    }

    fn signal(&mut self, child: &Child) {
        self.terminating = true;
        if let Ok(pid) = i32::try_from(child.id()) {
            // Not yet waited for, so the number is still this child's.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            // Two signals that come together count as one.
            thread::sleep(LOOK);
        }
    }
}

fn code_of(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}
