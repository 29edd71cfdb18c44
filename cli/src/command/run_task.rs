//! `run-task`: run a task that `create-task` made, in this process.

use clap::Args;
use shared::TaskId;

use super::{task_id, workflow::run_held};
use crate::{
    agent_args::AgentArgs,
    args::Global,
    embedded_redis::Need,
    error::CommandError,
    session::{Log, Session},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  claude-cluster run-task $(claude-cluster create-task --repo owner/name --issue-file issue.md)

Signals and exit codes are those of `workflow`.")]
pub struct RunTask {
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[command(flatten)]
    agent: AgentArgs,
    /// Prints the task's record at the end, and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

impl RunTask {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let session = Session::start(global, self.agent.overrides()?, Log::OneShot)?;
        let connection = session.connect(Need::Serve)?;
        let result = async {
            connection.require_usable().await?;
            run_held(global, &session, &connection, &self.id, self.json).await
        };
        let result = result.await;
        connection.close();
        result
    }
}
