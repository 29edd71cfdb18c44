//! `claude-cluster`: parses, dispatches, and turns what happened into an exit code.

mod args;
mod clock;
mod command;
mod die_with_parent;
mod embedded_redis;
mod environment;
mod error;
mod exit_code;
mod issue_file;
mod program;
mod render;
mod session;
mod signals;
mod task_args;

use std::{
    io::{self, Write},
    process,
};

use clap::Parser;
use nix::sys::signal::Signal;

use crate::{
    args::{Cli, Command, Global},
    error::CommandError,
    exit_code::ExitCode,
};

fn main() -> process::ExitCode {
    let cli = Cli::parse();
    let code = match run(cli.command, &cli.global) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            let code = ExitCode::from(&error);
            // A reader that went away (`| head`) is told nothing: it has what it wanted.
            if code != ExitCode::Signal(Signal::SIGPIPE as i32) {
                let _ = writeln!(io::stderr(), "claude-cluster: {error}");
            }
            code
        }
    };
    code.into()
}

fn run(command: Command, global: &Global) -> Result<(), CommandError> {
    match command {
        Command::Config(command) => command.run(global),
        other => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(CommandError::io("start the runtime"))?
            .block_on(run_async(other, global)),
    }
}

async fn run_async(command: Command, global: &Global) -> Result<(), CommandError> {
    match command {
        Command::CreateTask(command) => command.run(global).await,
        Command::Status(command) => command.run(global).await,
        Command::Agents(command) => command.run(global).await,
        Command::Logs(command) => command.run(global).await,
        Command::Cancel(command) => command.run(global).await,
        Command::Setup(command) => command.run(global).await,
        Command::Config(command) => command.run(global),
    }
}
