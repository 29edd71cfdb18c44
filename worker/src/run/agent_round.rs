//! The calls of the agent within a run: resumed where that is possible, within what is left of time and money.

use std::{path::Path, time::Duration};

use shared::{
    Failure, FailureClass, crash_point::CrashPoint, queue::MicroUsd, task::cut, task_log::LogStream,
};
use tokio::time::Instant;

use super::{Phase, Problem, Reporter, attempt::Attempt};
use crate::{
    account::CALL_MICRO_USD_MIN,
    agent::{Answer, Cause, Event, Reading, Start, Trouble, Verdict},
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
    /// What the session has cost so far, in US dollars, as its agent tells: it goes on when the session is resumed.
    session_usd: f64,
    /// What is left of `agent.wall_clock_ms`.
    time_left: Duration,
}

/// What became of a round.
pub(super) enum Called {
    Answered(Answer),
    /// Nothing is left for another call.
    UsedUp(UsedUp),
}

/// What a call needs and nothing is left of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UsedUp {
    /// `agent.wall_clock_ms`.
    Time,
    /// `agent.max_budget_usd`.
    Money,
}

impl UsedUp {
    /// Why there is no further round.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Time => "agent.wall_clock_ms is used up",
            Self::Money => "agent.max_budget_usd is used up",
        }
    }

    /// Of a run that has made nothing.
    pub(super) fn failure(self) -> Failure {
        let cause = match self {
            Self::Time => Cause::OverTime,
            Self::Money => Cause::MoneyExhausted,
        };
        Trouble { cause, said: "over all runs of the task".to_owned() }.into_failure(None)
    }
}

/// One call of the program.
enum Call {
    /// `days_rest`: its budget was what the account has left for today.
    Made {
        verdict: Verdict,
        days_rest: bool,
    },
    NotMade(UsedUp),
}

impl<'a> AgentRound<'a> {
    pub(super) fn new(attempt: &'a Attempt<'a>, mirror: &'a Path, task: String) -> Self {
        let time_left = attempt.agent.wall_clock();
        Self { attempt, mirror, task, session: None, session_usd: 0.0, time_left }
    }

    /// Lets the agent work: on the task, or in a later round on what `fix` says.
    pub(super) async fn run(&mut self, round: u32, fix: Option<&str>) -> Result<Called, Problem> {
        let reporter = self.attempt.reporter;
        let phase = reporter.begin(Phase::Agent { round }).await;
        let resumed = match (fix, self.session.take()) {
            (Some(fix), Some(session)) => Some(self.call(Start::Resume(&session), fix).await?),
            _ => None,
        };
        let call = match resumed {
            Some(Call::Made { verdict: Verdict::SessionUnknown, .. }) => {
                reporter.engine("the agent does not know its session any more; it starts afresh").await;
                self.fresh(fix).await?
            }
            Some(call) => call,
            None => self.fresh(fix).await?,
        };
        let (verdict, days_rest) = match call {
            Call::Made { verdict, days_rest } => (verdict, days_rest),
            Call::NotMade(used_up) => return Ok(Called::UsedUp(used_up)),
        };
        reporter.took(phase).await;
        CrashPoint::AgentEnded.reached();
        match verdict {
            Verdict::Done(mut answer) => {
                // Before it is cut, too.
                answer.text = reporter.redact(&answer.text);
                self.session.clone_from(&answer.session);
                Ok(Called::Answered(answer))
            }
            Verdict::Failed(trouble) if trouble.cause == Cause::MoneyExhausted && days_rest => {
                Err(day_spent().into())
            }
            Verdict::Failed(trouble) => {
                // Before the words are cut: half a secret is one, too.
                let trouble = trouble.map_said(|said| reporter.redact(said));
                Err(trouble.into_failure(self.attempt.agent.cli()).into())
            }
            Verdict::SessionUnknown => {
                Err(Failure::transient("the agent does not know its own session").into())
            }
        }
    }

    async fn fresh(&mut self, fix: Option<&str>) -> Result<Call, Problem> {
        let prompt = match fix {
            Some(fix) => format!("{}\n{fix}", self.task),
            None => self.task.clone(),
        };
        self.session_usd = 0.0;
        self.call(Start::Fresh, &prompt).await
    }

    /// One call, if anything is left for it. What it has cost is counted when this returns.
    async fn call(&mut self, start: Start<'_>, prompt: &str) -> Result<Call, Problem> {
        let Attempt { spending, .. } = *self.attempt;
        let allowance = spending.settle().await.ok_or(Problem::LeaseLost)?;
        let budget = allowance.least();
        if self.time_left.is_zero() {
            return Ok(Call::NotMade(UsedUp::Time));
        }
        if budget.is_some_and(|budget| budget < CALL_MICRO_USD_MIN) {
            if allowance.is_the_days() {
                return Err(day_spent().into());
            }
            return Ok(Call::NotMade(UsedUp::Money));
        }
        let began = Instant::now();
        let verdict = self.drive(start, prompt, budget).await;
        self.time_left = self.time_left.saturating_sub(began.elapsed());
        spending.settle().await.ok_or(Problem::LeaseLost)?;
        Ok(Call::Made { verdict: verdict?, days_rest: allowance.is_the_days() })
    }

    async fn drive(
        &mut self,
        start: Start<'_>,
        prompt: &str,
        budget: Option<MicroUsd>,
    ) -> Result<Verdict, Failure> {
        let Attempt { agent, sandbox, workspace, config, nursery, .. } = *self.attempt;
        let call = agent.call(start, &sandbox.tmp(workspace), budget);
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
        let mut output = AgentOutput { reading: agent.reading(start), round: self };
        let limits = agent.limits(output.round.time_left);
        let ending = child::drive(nursery, job, input.as_bytes(), limits, &mut output).await;
        let ending =
            ending.map_err(|error| Failure::transient(format!("the agent cannot be started: {error}")))?;
        Ok(output.reading.verdict(ending))
    }

    /// The session has cost so much by now. An older CLI tells of each call alone: then the sum is less than before.
    fn cost(&mut self, session_usd: f64) {
        let before = if session_usd >= self.session_usd { self.session_usd } else { 0.0 };
        self.attempt.spending.add(session_usd - before);
        self.session_usd = session_usd;
    }
}

/// The task goes back in line. That nothing is claimed for the account follows from what it has spent.
fn day_spent() -> Failure {
    let message = "the agent account has spent its agent.budget_usd_per_day; the task is run after midnight UTC, or \
                   as soon as workers with a larger budget are there";
    Failure { retry_after: Some(Duration::ZERO), ..Failure::new(FailureClass::UsageLimit, message) }
}

struct AgentOutput<'a, 'b> {
    reading: Reading,
    round: &'b mut AgentRound<'a>,
}

impl Sink for AgentOutput<'_, '_> {
    async fn line(&mut self, from: Pipe, line: Line) {
        CrashPoint::AgentStarted.reached();
        // Before anything of it is cut: half of a secret would not be found any more. Encoded ones come out later.
        let line = self.round.attempt.reporter.redact_line(&line);
        for event in self.reading.line(from, &line) {
            if let Event::Cost { usd, .. } = event {
                self.round.cost(usd);
            }
            report(self.round.attempt.reporter, &event).await;
        }
    }
}

async fn report(reporter: &Reporter, event: &Event) {
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
            let text = one_line(&reporter.redact(&text));
            reporter.output(stream, cut(&text, DETAIL_BYTES_MAX)).await;
        }
        _ => reporter.output(stream, &text).await,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
