//! A small program of its own: runs one command and ends after the last of its descendants.
//!
//! Where no PID namespace can be had, a process that calls `setsid`, forks twice or ignores hang-ups would
//! escape its process group. It cannot escape a child subreaper: orphans become its children.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid},
};

use crate::process_tree::descendants_of;

/// Pause between two rounds of killing.
const KILL_AGAIN: Duration = Duration::from_millis(2);

/// The shell's codes for a program that cannot be run, and for one that does not exist.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs `[--] [--as UID:GID --] PROGRAM ARGS...` and returns its exit code, 128 + the number for a signal.
///
/// Call it on the first thread, before any other is started: the signals that it waits for are blocked for
/// this thread alone. SIGTERM, SIGINT and SIGHUP end everything.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match supervise(args.into_iter().collect()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot supervise: {error}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn supervise(args: Vec<OsString>) -> io::Result<u8> {
    let usage = || io::Error::other("usage: supervise -- [--as UID:GID --] PROGRAM ARGS...");
    let mut command = parse(args).ok_or_else(usage)?;
    let signals = waited_for();
    signals.thread_block()?;
    prctl::set_child_subreaper(true)?;
    // Neither a password prompt nor a set-user-id program gives the agent more than it has.
    prctl::set_no_new_privs()?;
    let program = command.get_program().to_owned();
    let child = match command.process_group(0).spawn() {
        Ok(child) => Pid::from_raw(child.id().cast_signed()),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{}: {error}", program.to_string_lossy());
            let missing = error.kind() == io::ErrorKind::NotFound;
            return Ok(if missing { NOT_FOUND } else { CANNOT_RUN });
        }
    };
    drop(command);
    let code = wait_for(child, &signals)?;
    kill_descendants()?;
    Ok(code)
}

fn waited_for() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals
}

/// Waits until `child` ends or a signal says that everything must.
fn wait_for(child: Pid, signals: &SigSet) -> io::Result<u8> {
    loop {
        let signal = signals.wait()?;
        if signal != Signal::SIGCHLD {
            return Ok(128 + signal as u8);
        }
        // Signals of one kind are merged: one SIGCHLD may stand for many children.
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(code as u8),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Ok(128 + signal as u8),
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Kills until nobody is left. A process may fork while it is looked for; its child becomes a descendant too
/// and dies in the next round.
fn kill_descendants() -> io::Result<()> {
    loop {
        for pid in descendants_of(getpid()) {
            // Gone already is as good.
            let _ = kill(pid, Signal::SIGKILL);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
        thread::sleep(KILL_AGAIN);
    }
}

fn parse(args: Vec<OsString>) -> Option<Command> {
    let mut args = args.into_iter().peekable();
    args.next_if(|arg| arg == "--");
    let user = match args.next_if(|arg| arg == "--as") {
        Some(_) => {
            let ids = args.next()?.into_string().ok()?;
            let (uid, gid) = ids.split_once(':')?;
            args.next_if(|arg| arg == "--")?;
            Some((uid.parse().ok()?, gid.parse().ok()?))
        }
        None => None,
    };
    let mut command = Command::new(args.next()?);
    command.args(args);
    if let Some((uid, gid)) = user {
        // As root, setting the user also drops the supplementary groups.
        command.uid(uid).gid(gid);
    }
    Some(command)
}
