//! The one place that runs code between fork and exec.
#![expect(unsafe_code, reason = "a child's death signal can be set only by the child itself, before exec")]

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use nix::{
    sys::{prctl, signal::Signal},
    unistd::{getpid, getppid, setsid},
};
use tokio::process::Child;

use super::Ends;

/// Starts `command` with three pipes, told to die with the worker, in a session of its own: the terminal's
/// Ctrl-C is the worker's affair, and nothing can be typed into a terminal that is not there.
///
/// The kernel sends the death signal when the *thread* that forked ends, so this must run on a thread that
/// lives as long as the runtime: never inside `spawn_blocking`.
pub(super) fn spawn(mut command: Command, ends: Ends) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A supervisor has to outlive its parent by the moment that it needs to kill its descendants.
    let signal = if ends == Ends::Supervised { Signal::SIGTERM } else { Signal::SIGKILL };
    let worker = getpid();
    // SAFETY: setsid, prctl and getppid are async-signal-safe; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            prctl::set_pdeathsig(signal)?;
            // The worker may have died before the line above: then no signal will come.
            if getppid() == worker { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::ESRCH)) }
        });
    }
    tokio::process::Command::from(command).spawn()
}
