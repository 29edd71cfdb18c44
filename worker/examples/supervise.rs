//! The smallest program that can be a worker's supervisor: `supervise supervise -- PROGRAM ARGS...`.
//!
//! The command line has the same behind a hidden subcommand; the tests of this crate use this one.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::supervise::main(std::env::args_os().skip(2))
}
