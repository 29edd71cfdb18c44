//! Where a task belongs whose specialty is little more than a guess.

use shared::{Failure, Specialty, TaskSpec, lifecycle::workspace_name};
use tokio::sync::watch;

use super::{Executor, latest, stopped};
use crate::{
    child::Nursery,
    run::{Opinion, Reporter, RunEnd, RunInput, Spending, StopReason},
    specialties::ALL,
    workspace::Workspace,
};

/// Specialties to choose from: with fewer there is no choice.
const CHOICES_MIN: usize = 2;

impl Executor {
    /// Whether a run asks its agent which specialty the task belongs to, where it is told which there are.
    pub fn wants_opinion(&self, spec: &TaskSpec, run: u32) -> bool {
        Opinion::is_wanted(&self.config, spec, run)
    }

    /// The input as the run goes on with it; else the end of the run, which has not begun.
    pub(super) async fn place(
        &self,
        mut input: RunInput,
        reporter: &Reporter,
        spending: &Spending<'_>,
        stop: &mut watch::Receiver<Option<StopReason>>,
    ) -> Result<RunInput, RunEnd> {
        if input.choices.len() < CHOICES_MIN || !self.wants_opinion(&input.spec, input.run) {
            return Ok(input);
        }
        let Some(named) = self.second_opinion(&input, reporter, spending, stop).await? else {
            return Ok(input);
        };
        let before = std::mem::replace(&mut input.spec.specialty, named);
        let spec = &mut input.spec;
        spec.classification.margin = None;
        spec.classification.secondary.take_if(|secondary| *secondary == spec.specialty);
        spec.classification.reasons.insert(0, format!("second opinion {}", spec.specialty));
        if self.serves(&spec.specialty) && self.agents.is_one_for(&before, &spec.specialty) {
            return Ok(input);
        }
        reporter.engine(&format!("it is handed to {}", spec.specialty)).await;
        Err(RunEnd::Referred(Box::new(input.spec)))
    }

    async fn second_opinion(
        &self,
        input: &RunInput,
        reporter: &Reporter,
        spending: &Spending<'_>,
        stop: &mut watch::Receiver<Option<StopReason>>,
    ) -> Result<Option<Specialty>, RunEnd> {
        let agent = self.agents.agent(&input.spec.specialty).map_err(RunEnd::Failed)?;
        let nursery = Nursery::default();
        let name = format!("{}-opinion", workspace_name(&input.spec.id, input.fence));
        let workspace = match Workspace::create(&self.dirs.workspaces, &name, self.sandbox.owner()) {
            Ok(workspace) => workspace,
            Err(error) => {
                reporter.engine(&format!("no second opinion: cannot make a workspace: {error}")).await;
                return Ok(None);
            }
        };
        let opinion = Opinion {
            config: &self.config,
            sandbox: &self.sandbox,
            agent,
            nursery: &nursery,
            workspace: &workspace,
            spec: &input.spec,
            choices: &input.choices,
            reporter,
            spending,
        };
        let answered = tokio::select! {
            biased;
            () = stopped(stop) => None,
            named = opinion.ask() => Some(named),
        };
        let died = nursery.empty().await;
        // What was told by an agent that was stopped has been spent, too.
        spending.settle_rest().await;
        if let Err(error) = workspace.remove(&nursery).await {
            // The next start sweeps it: its lock is free.
            tracing::warn!(%error, "cannot remove the workspace of a second opinion");
        }
        match (answered, died) {
            (_, Err(error)) => {
                Err(RunEnd::Failed(Failure::transient(format!("the agent could not be ended: {error}"))))
            }
            (None, Ok(())) => Err(RunEnd::Stopped(latest(stop))),
            (Some(named), Ok(())) => Ok(named),
        }
    }

    fn serves(&self, specialty: &Specialty) -> bool {
        self.config.worker.specialties.iter().any(|name| name == ALL || name == specialty.as_str())
    }
}
