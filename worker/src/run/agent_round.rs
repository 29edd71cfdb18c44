//! One call of the agent within a run, resumed where that is possible.

use std::path::Path;

use shared::{Failure, crash_point::CrashPoint, task::cut, task_log::LogStream};

use super::{Phase, Reporter, attempt::Attempt};
use crate::{
    agent::{Answer, Event, Reading, Start, Verdict},
    child::{self, Pipe, Sink},
    output::Line,
    sandbox::Confined,
    worktree,
};

/// Shown of a tool's input or output, in bytes.
const DETAIL_BYTES_MAX: usize = 300;

/// The agent over all rounds of one run.
pub(super) struct AgentRound<'a> {
    attempt: &'a Attempt<'a>,
    mirror: &'a Path,
    /// What an agent is told that knows nothing yet.
    task: String,
    session: Option<String>,
}

impl<'a> AgentRound<'a> {
    pub(super) fn new(attempt: &'a Attempt<'a>, mirror: &'a Path, task: String) -> Self {
        Self { attempt, mirror, task, session: None }
    }

    /// Lets the agent work: on the task, or in a later round on what `fix` says.
    pub(super) async fn run(&mut self, round: u32, fix: Option<&str>) -> Result<Answer, Failure> {
        let reporter = self.attempt.reporter;
        let phase = reporter.begin(Phase::Agent { round }).await;
        let resumed = match (fix, self.session.take()) {
            (Some(fix), Some(session)) => Some(self.call(Start::Resume(&session), fix).await?),
            _ => None,
        };
        let verdict = match resumed {
            Some(Verdict::SessionUnknown) => {
                reporter.engine("the agent does not know its session any more; it starts afresh").await;
                self.fresh(fix).await?
            }
            Some(verdict) => verdict,
            None => self.fresh(fix).await?,
        };
        reporter.took(phase).await;
        CrashPoint::AgentEnded.reached();
        match verdict {
            Verdict::Done(answer) => {
                self.session.clone_from(&answer.session);
                Ok(answer)
            }
            Verdict::Failed(trouble) => {
                // Before the words are cut: half a secret is one, too.
                let trouble = trouble.map_said(|said| reporter.redact(said));
                Err(trouble.into_failure(self.attempt.agent.cli()))
            }
            Verdict::SessionUnknown => Err(Failure::transient("the agent does not know its own session")),
        }
    }

    async fn fresh(&self, fix: Option<&str>) -> Result<Verdict, Failure> {
        let prompt = match fix {
            Some(fix) => format!("{}\n{fix}", self.task),
            None => self.task.clone(),
        };
        self.call(Start::Fresh, &prompt).await
    }

    async fn call(&self, start: Start<'_>, prompt: &str) -> Result<Verdict, Failure> {
        let Attempt { agent, sandbox, workspace, config, reporter, nursery, .. } = *self.attempt;
        let call = agent.call(start, &sandbox.tmp(workspace));
        let input = match call.preface {
            Some(preface) => format!("{preface}\n\n{prompt}"),
            None => prompt.to_owned(),
        };
        let mut env = worktree::environment(&config.git, workspace);
        env.extend(call.env);
        let job = sandbox.job(&Confined {
            workspace,
            mirror: Some(self.mirror),
            out: false,
            network: true,
            files: agent.files(),
            env,
            argv: call.argv,
        });
        let mut output = AgentOutput { reading: agent.reading(start), reporter };
        let ending = child::drive(nursery, job, input.as_bytes(), agent.limits(), &mut output).await;
        let ending =
            ending.map_err(|error| Failure::transient(format!("the agent cannot be started: {error}")))?;
        Ok(output.reading.verdict(ending))
    }
}

struct AgentOutput<'a> {
    reading: Reading,
    reporter: &'a Reporter,
}

impl Sink for AgentOutput<'_> {
    async fn line(&mut self, from: Pipe, line: Line) {
        CrashPoint::AgentStarted.reached();
        for event in self.reading.line(from, &line) {
            if let Event::Cost { usd, .. } = event {
                self.reporter.add_cost(usd);
            }
            let stream = match event {
                Event::Text(_) => LogStream::Agent,
                Event::Tool { .. } | Event::ToolFailed(_) | Event::Denied { .. } | Event::Notice(_) => {
                    LogStream::Tool
                }
                Event::Started { .. }
                | Event::Retrying { .. }
                | Event::Limit { .. }
                | Event::Cost { .. }
                | Event::Tokens { .. } => LogStream::Engine,
            };
            let text = event.to_string();
            match event {
                Event::Tool { .. } | Event::ToolFailed(_) => {
                    let text = one_line(&self.reporter.redact(&text));
                    self.reporter.output(stream, cut(&text, DETAIL_BYTES_MAX)).await;
                }
                _ => self.reporter.output(stream, &text).await,
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
