//! Children that do not outlive the process that started them, however it ends.

use std::{io, os::unix::process::CommandExt, process::Command};

use nix::{
    sys::{prctl, signal::Signal},
    unistd::{getpid, getppid},
};

/// Has the kernel send `signal` to the child when the thread that spawns it ends.
///
/// It is the thread that counts, not the process: spawn from a thread that lives as long as the child should. The
/// child gets a process group of its own, so that Ctrl-C at the terminal reaches this process alone, which then ends
/// its children in order.
pub fn die_with_parent(command: &mut Command, signal: Signal) {
    command.process_group(0);
    let parent = getpid();
    let arrange = move || {
        prctl::set_pdeathsig(signal)?;
        // The parent may have died before the line above, and no signal would ever come.
        if getppid() == parent { Ok(()) } else { Err(io::Error::other("the parent process is gone")) }
    };
    #[expect(
        unsafe_code,
        reason = "runs between fork and exec: it makes two system calls and allocates only where it fails for good"
    )]
    // SAFETY: prctl and getppid are async-signal-safe, and the closure touches no lock.
    unsafe {
        command.pre_exec(arrange);
    }
}
