//! What an agent says about which specialty a task belongs to, before anything is prepared for it.
//!
//! It sees the text alone: its working directory is empty, and it has no tools. Whatever goes wrong here leaves
//! the task as it is.

use std::time::Duration;

use shared::{Specialty, TaskSpec, config::Config};

use super::{Reporter, Spending};
use crate::{
    account::CALL_MICRO_USD_MIN,
    agent::{Agent, Event, Reading, Start, Verdict},
    child::{self, Nursery, Pipe, Sink},
    output::Line,
    prompt,
    sandbox::{Confined, Sandbox},
    workspace::Workspace,
    worktree,
};

/// How long the agent may think about it; its own limits hold besides.
const OPINION_MAX: Duration = Duration::from_secs(120);

/// Everything that one question needs.
pub(crate) struct Opinion<'a> {
    pub config: &'a Config,
    pub sandbox: &'a Sandbox,
    pub agent: &'a Agent,
    pub nursery: &'a Nursery,
    /// An empty one, for this question alone.
    pub workspace: &'a Workspace,
    pub spec: &'a TaskSpec,
    pub choices: &'a [Specialty],
    pub reporter: &'a Reporter,
    pub spending: &'a Spending<'a>,
}

impl Opinion<'_> {
    /// Whether the agent is to be asked: where the text alone has decided, by little, and before the first run only, so
    /// that it is not asked again and again.
    pub(crate) fn is_wanted(config: &Config, spec: &TaskSpec, run: u32) -> bool {
        let classify = &config.classify;
        let small = |margin: f32| margin < classify.second_opinion_margin;
        classify.second_opinion && run == 1 && spec.classification.margin.is_some_and(small)
    }

    /// The specialty that the agent names, where that is another one.
    pub(crate) async fn ask(&self) -> Option<Specialty> {
        let (now, reporter) = (&self.spec.specialty, self.reporter);
        reporter.engine(&format!("{now} is little more than a guess: the agent is asked")).await;
        let answer = match self.answer().await {
            Ok(answer) => answer,
            Err(problem) => {
                reporter.engine(&format!("the agent has no opinion: {problem}")).await;
                return None;
            }
        };
        let Some(named) = self.choices.iter().find(|choice| choice.as_str() == answer.trim()) else {
            reporter.engine("the agent names no specialty that somebody serves").await;
            return None;
        };
        reporter.engine(&format!("the agent takes it for {named}")).await;
        Some(named.clone()).filter(|named| named != now)
    }

    async fn answer(&self) -> Result<String, String> {
        let Self { config, sandbox, agent, workspace, reporter, spending, .. } = *self;
        let allowance = spending.settle().await.ok_or("its lease is gone")?;
        let budget = allowance.least();
        if budget.is_some_and(|budget| budget < CALL_MICRO_USD_MIN) {
            return Err("no money is left for it".to_owned());
        }
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let question = prompt::for_opinion(self.spec, self.choices, &boundary);
        let call = agent.call(Start::Judge, &sandbox.tmp(workspace), budget);
        let question = match call.preface {
            Some(preface) => format!("{preface}\n\n{question}"),
            None => question,
        };
        let mut env = worktree::environment(&config.git, workspace);
        env.extend(call.env);
        let job = sandbox.job(&Confined {
            workspace,
            mirror: None,
            out: false,
            network: true,
            files: agent.files(),
            env,
            argv: call.argv,
        });
        let limits = agent.limits(agent.wall_clock().min(OPINION_MAX));
        let mut heard = Heard { reading: agent.reading(Start::Judge), reporter, spending };
        let ending = child::drive(self.nursery, job, question.as_bytes(), limits, &mut heard).await;
        match heard.reading.verdict(ending.map_err(|error| error.to_string())?) {
            Verdict::Done(answer) => Ok(answer.text),
            Verdict::Failed(trouble) => {
                // Before the words are cut: half a secret is one, too.
                let trouble = trouble.map_said(|said| reporter.redact(said));
                Err(trouble.into_failure(agent.cli()).message)
            }
            Verdict::SessionUnknown => Err("it speaks of a session".to_owned()),
        }
    }
}

struct Heard<'a> {
    reading: Reading,
    reporter: &'a Reporter,
    spending: &'a Spending<'a>,
}

impl Sink for Heard<'_> {
    async fn line(&mut self, from: Pipe, line: Line) {
        for event in self.reading.line(from, &line) {
            if let Event::Cost { usd, .. } = event {
                self.spending.add(usd);
                self.reporter.engine(&format!("the second opinion: {event}")).await;
            }
        }
    }
}
