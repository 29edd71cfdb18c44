//! `claude-cluster-distributed`, the name under which the project's first documents knew the commands of several
//! machines: becomes `claude-cluster` with the same arguments.

use std::{env, io, os::unix::process::CommandExt, process::Command};

/// The exit code of a program that is missing; `docs/cli.md` has them all.
const MISSING: i32 = 4;

fn main() {
    let error = become_the_program();
    eprintln!("claude-cluster-distributed: claude-cluster, which stands beside it, cannot be run: {error}");
    std::process::exit(MISSING);
}

/// Returns only when it fails.
fn become_the_program() -> io::Error {
    match env::current_exe() {
        Ok(this) => Command::new(this.with_file_name("claude-cluster")).args(env::args_os().skip(1)).exec(),
        Err(error) => error,
    }
}
