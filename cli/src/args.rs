//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::command::{
    agents::Agents,
    cancel::Cancel,
    classify::Classify,
    config_show::ConfigCommand,
    create_task::CreateTask,
    drain::{Drain, Undrain},
    events::Events,
    github::GithubCommand,
    ingest::Ingest,
    join_command::JoinCommand,
    logs::Logs,
    pause::{Pause, Resume},
    run_task::RunTask,
    setup::Setup,
    start_coordinator::StartCoordinator,
    start_node::StartNode,
    status::Status,
    tasks::Tasks,
    up::Up,
    wait::Wait,
    worker::Worker,
    workflow::Workflow,
};
/// GitHub issues become pull requests on the PCs that a team has to spare.
#[derive(Debug, Parser)]
#[command(name = "claude-cluster", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the task failed, 2 command line, 3 configuration, 4 a program is missing, 5 Redis, \
6 no such task, 7 the task was cancelled, 8 wrong state, 9 GitHub, 10 waited in vain, 70 internal error, 128+N ended by signal N.

With no redis.url configured, a private redis-server of this user is joined, or started and ended with the command.";

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// A configuration file on top of /etc/claude-cluster and ~/.config/claude-cluster.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter such as info,worker=debug.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json.
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// The process that this one is a part of.
    #[arg(long, global = true, hide = true, value_name = "PID")]
    pub part_of: Option<i32>,
}

impl Global {
    /// As arguments of another process of this program.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if let Some(config) = &self.config {
            arguments.extend([OsString::from("--config"), config.clone().into()]);
        }
        arguments.extend(self.log_level.iter().map(|level| format!("--log-level={level}").into()));
        arguments.extend(self.log_format.iter().map(|format| format!("--log-format={format}").into()));
        arguments
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine: private Redis, webhook ingester and workers.
    Up(Up),
    /// Take GitHub's webhooks and serve the HTTP API.
    Ingest(Ingest),
    /// Another name of `ingest`.
    #[command(hide = true)]
    StartCoordinator(StartCoordinator),
    /// Claim tasks and run them.
    Worker(Worker),
    /// Another name of `worker`.
    #[command(hide = true)]
    StartNode(StartNode),
    /// Run one issue from its text to the pushed branch.
    Workflow(Workflow),
    /// Run a task that `create-task` made.
    RunTask(RunTask),
    /// Make a task that waits until `run-task` runs it, or put one into the queue.
    CreateTask(CreateTask),
    /// Show what waits, runs and is done, or one task.
    Status(Status),
    /// List the workers, and the specialties that there are.
    Agents(Agents),
    /// Show what a task's agent and tests print.
    Logs(Logs),
    /// Cancel a task; a running one is killed.
    Cancel(Cancel),
    /// List tasks, show one, run one again, move, change, release or delete it.
    Tasks(Tasks),
    /// Wait until a task has ended; the exit code tells how.
    Wait(Wait),
    /// Show every transition of every task.
    Events(Events),
    /// Let nobody claim tasks of a specialty.
    Pause(Pause),
    /// End a pause.
    Resume(Resume),
    /// Let a worker claim nothing more, wherever it runs.
    Drain(Drain),
    /// Let a drained worker claim again.
    Undrain(Undrain),
    /// Check this machine and say how to mend what is missing.
    Setup(Setup),
    /// Print the line that makes another PC a worker of this cluster.
    JoinCommand(JoinCommand),
    /// Say which specialty, priority and complexity an issue would get, and why.
    Classify(Classify),
    /// Check a repository on GitHub, and set up its webhook.
    Github(GithubCommand),
    /// Look at the configuration.
    Config(ConfigCommand),
}
