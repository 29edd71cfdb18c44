//! The phases of one run, from the mirror to the pushed branch.
//!
//! Whoever drops the attempt ends it: every program that it has started is killed, and waited for in the
//! run's nursery.

use std::{path::Path, sync::Arc};

use shared::{
    Failure, Outcome, config::Config, crash_point::CrashPoint, github::GitHub, outcome::TestsSummary,
    task::cut,
};

use super::{
    FenceCheck, IssueTalk, Phase, Problem, Reporter, RunInput, Spending,
    agent_round::{AgentRound, Called},
    delivery::{Delivery, Kept, Made},
    groundwork::{Baseline, Groundwork},
};
use crate::{
    agent::{Agent, Answer},
    branch::branch_for,
    cache::DependencyCache,
    child::Nursery,
    git::Git,
    github::Comment,
    guidance::{Guidance, guidance},
    mirror::{Base, Fetched, Mirror},
    prompt::{self, Context},
    publish::{Forge, Remote},
    sandbox::Sandbox,
    verify::{Failures, TestPlan, TestRun, Verifier},
    workspace::Workspace,
    worktree::{Absent, Snapshot, Worktree},
};

/// Of an agent's answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Of a red run's output, shown in the failure, in bytes.
const RED_BYTES_MAX: usize = 1_200;

/// Everything that one attempt works with.
pub(crate) struct Attempt<'a> {
    pub config: &'a Config,
    pub sandbox: &'a Sandbox,
    pub agent: &'a Agent,
    pub mirrors: &'a Path,
    pub caches: &'a Path,
    pub git: &'a Git,
    pub nursery: &'a Nursery,
    pub workspace: &'a Workspace,
    pub input: &'a RunInput,
    pub reporter: &'a Reporter,
    pub still_held: &'a FenceCheck,
    pub spending: &'a Spending<'a>,
    pub github: Option<&'a Arc<GitHub>>,
    pub talk: &'a IssueTalk<'a>,
}

enum Worked {
    Changed(Made),
    Nothing(Answer),
    /// Tests still red, and why no further round was tried.
    Red {
        made: Made,
        red: Red,
        why: &'static str,
    },
}

impl Attempt<'_> {
    pub(crate) async fn run(&self) -> Result<Outcome, Problem> {
        let phase = self.reporter.begin(Phase::Preparing).await;
        let remote = Remote::find(&self.input.spec.repository, self.config, self.github).await?;
        let comments = match &remote.forge {
            Forge::PlainGit => Vec::new(),
            Forge::GitHub(repository) => self.talk.open(repository).await?,
        };
        let access = remote.access().await?;
        let mirror = Mirror::new(self.git, self.nursery, access.as_ref(), self.mirrors, &remote.url);
        let _used = mirror.begin_use().await?;
        let Fetched { base, branches } = mirror.fetch(remote.base_branch.as_deref()).await?;
        let branch = branch_for(&self.input.spec, &branches, &base.branch);
        let mut worktree = self.worktree(mirror.path());
        let absent = self.check_out(&mirror, &worktree, &branch, &base).await?;
        self.reporter
            .engine(&format!("{branch} starts from {} at {}", base.branch, cut(&base.commit, 12)))
            .await;
        let absent = self.complete(absent, &mut worktree, &mirror, access.as_ref(), &base).await?;
        if let Some(socket) = self.sandbox.docker() {
            let told =
                format!("agent and tests reach docker by {}, and through it the machine", socket.display());
            self.reporter.engine(&told).await;
        }
        let verifier = self.verifier(mirror.path());
        let plan = verifier.plan(self.git, &base).await?;
        self.tell_plan(plan.as_ref()).await;
        let baseline = match &plan {
            Some(plan) => self.groundwork(&verifier, &worktree, &remote.url).lay(plan, &base).await?,
            None => Baseline::Nothing,
        };
        self.reporter.took(phase).await;
        CrashPoint::CheckedOut.reached();

        let base_tree = self.base_tree(mirror.path(), &base).await?;
        let guidance = guidance(self.git, mirror.path(), &base).await;
        let start =
            Start { base: &base, tree: &base_tree, baseline, guidance, comments: &comments, absent: &absent };
        let worked = self.work(&worktree, &verifier, plan, &start).await?;
        let delivery = Delivery {
            attempt: self,
            remote: &remote,
            mirror: mirror.path(),
            worktree: &worktree,
            base: &base,
            branch: &branch,
        };
        match worked {
            Worked::Changed(made) => delivery.deliver(made).await,
            Worked::Nothing(answer) => {
                self.reporter.engine("the agent changed nothing").await;
                Ok(Outcome::NoChange { answer: cut(answer.text.trim(), ANSWER_BYTES_MAX).to_owned() })
            }
            Worked::Red { made, red, why } => {
                let kept = delivery.keep(&made).await;
                Err(red.problem(why, made.rounds, kept))
            }
        }
    }

    /// Agent and tests in turns, until the tests are green, the agent changes nothing, or no round is left.
    async fn work(
        &self,
        worktree: &Worktree<'_>,
        verifier: &Verifier<'_>,
        mut plan: Option<TestPlan>,
        start: &Start<'_>,
    ) -> Result<Worked, Problem> {
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let test_command = plan.as_ref().map(|plan| plan.command.clone());
        let context = Context {
            base_branch: &start.base.branch,
            test_command: test_command.as_deref(),
            red_before: start.baseline.tail(),
            guidance: start.guidance.as_ref(),
            boundary: &boundary,
            comments: start.comments,
            absent: start.absent,
        };
        let task = prompt::for_task(&self.input.spec, &context);
        let mut agent = AgentRound::new(self, worktree.mirror, task);
        let mut red: Option<Red> = None;
        let mut before: Option<Failures> = None;
        let mut last: Option<Answer> = None;
        let mut round = 1;
        loop {
            let fix = red.as_ref().map(|red| prompt::for_fix(&red.command, &red.tail, &boundary));
            let answer = match agent.run(round, fix.as_deref()).await? {
                Called::Answered(answer) => answer,
                Called::UsedUp(what) => {
                    let (Some(red), Some(answer)) = (red, last) else { return Err(what.failure().into()) };
                    let (snapshot, tests) = (red.snapshot.clone(), red.summary());
                    let made = Made { snapshot, tests, answer, rounds: round - 1 };
                    return Ok(Worked::Red { made, red, why: what.why() });
                }
            };
            let snapshot = worktree.snapshot().await?;
            if snapshot.tree == start.tree {
                return Ok(Worked::Nothing(answer));
            }
            let made = |snapshot, tests| Made { snapshot, tests, answer, rounds: round };
            if let Some(red) = red.take_if(|red| red.snapshot == snapshot) {
                let made = made(snapshot, red.summary());
                return Ok(Worked::Red { made, red, why: "the agent changed nothing more" });
            }
            if plan.is_none() {
                plan = verifier.detected().await?;
                self.tell_plan(plan.as_ref()).await;
            }
            let Some(plan) = &plan else {
                return Ok(Worked::Changed(made(snapshot, TestsSummary::NoneFound)));
            };
            let phase = self.reporter.begin(Phase::Testing { round }).await;
            let tested = verifier.run(plan, self.reporter).await?;
            self.reporter.took(phase).await;
            CrashPoint::Tested.reached();
            match tested {
                TestRun::Passed { count } => {
                    let tests = TestsSummary::Passed { command: plan.command.clone(), count };
                    return Ok(Worked::Changed(made(snapshot, tests)));
                }
                TestRun::NoneCollected => {
                    return Ok(Worked::Changed(made(snapshot, TestsSummary::NoneFound)));
                }
                TestRun::Failed { command, tail } => {
                    self.reporter.engine(&format!("the tests fail ({command})")).await;
                    if start.baseline.explains(&tail) {
                        self.reporter.engine("they fail as they do on the base branch").await;
                        let tests = TestsSummary::Failed { command, as_before: true };
                        return Ok(Worked::Changed(made(snapshot, tests)));
                    }
                    let now =
                        Red { failures: Failures::of(&tail), command, tail, snapshot: snapshot.clone() };
                    let stuck = before.as_ref() == Some(&now.failures);
                    if stuck || round >= self.config.test.rounds_max {
                        let made = made(snapshot, now.summary());
                        let why = if stuck {
                            "the tests fail in the same way as before"
                        } else {
                            "no round is left"
                        };
                        return Ok(Worked::Red { made, red: now, why });
                    }
                    before = Some(now.failures.clone());
                    last = Some(made(snapshot, now.summary()).answer);
                    red = Some(now);
                    round += 1;
                }
            }
        }
    }

    /// A mirror that passed for whole and is not, is made anew once.
    async fn check_out(
        &self,
        mirror: &Mirror<'_>,
        worktree: &Worktree<'_>,
        branch: &str,
        base: &Base,
    ) -> Result<Absent, Failure> {
        let said = match worktree.check_out(branch, base).await {
            Ok(absent) => return Ok(absent),
            Err(said) => said,
        };
        self.reporter.engine(&format!("the check-out failed ({said}); the mirror is made anew")).await;
        mirror.remake(base).await?;
        let again = worktree.check_out(branch, base).await;
        again.map_err(|said| Failure::transient(format!("cannot check out {}: {said}", base.branch)))
    }

    async fn base_tree(&self, mirror: &Path, base: &Base) -> Result<String, Failure> {
        let tree = self.git.run_in(mirror, &["rev-parse", &format!("{}^{{tree}}", base.commit)]).await;
        Ok(tree.map_err(|error| error.into_failure("cannot read the mirror"))?.trim().to_owned())
    }

    async fn tell_plan(&self, plan: Option<&TestPlan>) {
        match plan {
            Some(plan) => self.reporter.engine(&format!("tests: {} ({})", plan.command, plan.reason)).await,
            None => self.reporter.engine("tests: none found").await,
        }
    }

    fn worktree<'w>(&'w self, mirror: &'w Path) -> Worktree<'w> {
        let (sandbox, workspace, nursery) = (self.sandbox, self.workspace, self.nursery);
        Worktree { sandbox, workspace, mirror, nursery, config: &self.config.git, submodules: Vec::new() }
    }

    fn groundwork<'w>(
        &'w self,
        verifier: &'w Verifier<'w>,
        worktree: &'w Worktree<'w>,
        url: &str,
    ) -> Groundwork<'w> {
        let cache = DependencyCache::of(self.caches, url, self.nursery);
        let (workspace, reporter, config) = (self.workspace, self.reporter, &self.config.test);
        Groundwork { verifier, worktree, workspace, cache, config, reporter }
    }

    fn verifier<'w>(&'w self, mirror: &'w Path) -> Verifier<'w> {
        let (sandbox, workspace, nursery) = (self.sandbox, self.workspace, self.nursery);
        Verifier { sandbox, workspace, mirror, nursery, config: &self.config.test }
    }
}

/// What a run starts from.
struct Start<'a> {
    base: &'a Base,
    tree: &'a str,
    baseline: Baseline,
    guidance: Option<Guidance>,
    comments: &'a [Comment],
    absent: &'a [String],
}

/// A red test run and what it was about.
struct Red {
    command: String,
    tail: String,
    failures: Failures,
    snapshot: Snapshot,
}

impl Red {
    fn summary(&self) -> TestsSummary {
        TestsSummary::Failed { command: self.command.clone(), as_before: false }
    }

    /// What the run ends in. That the work could not be kept is told, and changes nothing.
    fn problem(&self, why: &str, rounds: u32, kept: Result<Kept, Problem>) -> Problem {
        let (branch, kept) = match kept {
            Err(Problem::LeaseLost) => return Problem::LeaseLost,
            Err(Problem::Failed(failure)) => {
                (None, format!("the work could not be kept ({})", failure.message))
            }
            Ok(Kept::Nowhere) => (None, "nothing was published".to_owned()),
            Ok(Kept::BehindOpen) => {
                (None, "nothing was published, because an earlier result is open".to_owned())
            }
            Ok(Kept::Branch { branch, why }) => {
                let kept = format!("what there is stands on branch {branch}, without a pull request ({why})");
                (Some(branch), kept)
            }
            Ok(Kept::Draft { branch, url }) => {
                (Some(branch), format!("what there is stands in the draft {url}"))
            }
        };
        // The tail has been redacted line by line.
        let (command, tail) = (&self.command, last_bytes(&self.tail, RED_BYTES_MAX));
        let message =
            format!("tests still red after {rounds} rounds, {why}; {kept}; {command} says:\n{tail}");
        Problem::Failed(Failure { branch, ..Failure::task(message) })
    }
}

/// The end of `text`, never from inside a character.
fn last_bytes(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_never_begins_inside_a_character() {
        assert_eq!(last_bytes("日本", 4), "本");
        assert_eq!(last_bytes("abc", 10), "abc");
    }
}
