//! `claude-cluster`: parses, dispatches, and turns what happened into an exit code.

mod agent_args;
mod args;
mod clock;
mod command;
mod coordinator_args;
mod die_with_parent;
mod embedded_redis;
mod environment;
mod error;
mod exit_code;
mod issue_file;
mod listen_args;
mod phase_times;
mod program;
mod render;
mod session;
mod signals;
mod span;
mod task_args;

use std::{
    env,
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

/// The hidden command that the worker's sandbox runs below itself.
const SUPERVISE: &str = "supervise";

fn main() -> process::ExitCode {
    // Before any thread: the supervisor blocks signals for its only thread.
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == SUPERVISE) {
        return worker::supervise::main(arguments);
    }
    let cli = Cli::parse();
    let code = match run(cli.command, &cli.global) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            let code = ExitCode::from(&error);
            // A reader that went away (`| head`) is told nothing: it has what it wanted.
            if code != ExitCode::Signal(Signal::SIGPIPE as i32) {
                let _ = writeln!(io::stderr(), "claude-cluster: {}", render::plain_lines(&error.to_string()));
            }
            code
        }
    };
    code.into()
}

fn run(command: Command, global: &Global) -> Result<(), CommandError> {
    match command {
        Command::Classify(command) => command.run(global),
        Command::Config(command) => command.run(global),
        Command::JoinCommand(command) => command.run(global),
        other => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(CommandError::io("start the runtime"))?
            .block_on(run_async(other, global)),
    }
}

async fn run_async(command: Command, global: &Global) -> Result<(), CommandError> {
    match command {
        Command::Up(command) => command.run(global).await,
        Command::Ingest(command) => command.run(global).await,
        Command::StartCoordinator(command) => command.run(global).await,
        // A worker is much: it would not fit on the stack of a thread.
        Command::Worker(command) => Box::pin(command.run(global)).await,
        Command::StartNode(command) => Box::pin(command.run(global)).await,
        Command::Workflow(command) => command.run(global).await,
        Command::CreateTask(command) => command.run(global).await,
        Command::RunTask(command) => command.run(global).await,
        Command::Status(command) => command.run(global).await,
        Command::Agents(command) => command.run(global).await,
        Command::Logs(command) => command.run(global).await,
        Command::Cancel(command) => command.run(global).await,
        Command::Tasks(command) => command.run(global).await,
        Command::Wait(command) => command.run(global).await,
        Command::Events(command) => command.run(global).await,
        Command::Pause(command) => command.run(global).await,
        Command::Resume(command) => command.run(global).await,
        Command::Drain(command) => command.run(global).await,
        Command::Undrain(command) => command.run(global).await,
        Command::Setup(command) => Box::pin(command.run(global)).await,
        Command::Classify(command) => command.run(global),
        Command::Github(command) => command.run(global).await,
        Command::Config(command) => command.run(global),
        Command::JoinCommand(command) => command.run(global),
    }
}
