//! An agent is asked which specialty a task belongs to, before anything is done for it.

use shared::{Specialty, TaskSpec, task_log::LogStream};
use worker::run::{Phase, RunEnd, StopReason};

use crate::stage::{Run, Stage, Started, escapees, marker, processes_with};

const QUESTION: &str = "Which kind of work";

fn names(names: &[&str]) -> Vec<Specialty> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// A worker that serves `general`, and an agent that answers the question with `answer` and else does the work.
fn stage(answer: &str) -> Stage {
    let script = format!(
        "prompt=$(cat)\ncase $prompt in *'{QUESTION}'*) {answer};; *) echo 42 > answer; echo worked;; esac"
    );
    let mut stage = Stage::new().agent(&script);
    stage.config.classify.second_opinion = true;
    stage.config.worker.specialties = vec!["general".to_owned()];
    stage
}

/// A task that the classifier has put into `general` for want of anything better.
fn guess(stage: &Stage) -> TaskSpec {
    let mut spec = stage.task("It looks odd");
    spec.classification.margin = Some(0.0);
    spec.classification.secondary = Some("frontend".parse().unwrap());
    spec
}

async fn asked(stage: &Stage, spec: TaskSpec) -> Run {
    let choices = names(&["backend", "frontend", "general"]);
    Started::with_choices(&stage.executor().await, spec, 1, choices).end().await
}

#[tokio::test]
async fn a_task_that_belongs_elsewhere_is_handed_over_before_anything_is_prepared() {
    let stage = stage("ls -A; echo frontend");
    let run = asked(&stage, guess(&stage)).await;
    let RunEnd::Referred(spec) = &run.end else { panic!("{run:#?}") };
    assert_eq!(spec.specialty.as_str(), "frontend");
    assert_eq!((spec.classification.margin, &spec.classification.secondary), (None, &None));
    assert_eq!(spec.classification.reasons, ["second opinion frontend"]);
    assert!(run.phases().is_empty() && stage.workspaces().is_empty());
    assert!(!stage.state().join("mirrors").read_dir().unwrap().any(|_| true), "nothing was fetched");
}

#[tokio::test]
async fn whatever_is_no_single_name_of_a_served_specialty_leaves_the_task_where_it_is() {
    for answer in [
        "echo testing",
        "echo 'frontend, I think'",
        "echo FRONTEND",
        "echo",
        "echo general",
        "echo frontend; exit 1",
        "echo frontend; echo backend",
    ] {
        let stage = stage(answer);
        let run = asked(&stage, guess(&stage)).await;
        assert!(matches!(run.end, RunEnd::Finished(_)), "{answer}: {run:#?}");
        assert!(run.lines(LogStream::Agent).contains(&"worked"), "{answer}");
        assert!(stage.workspaces().is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn a_worker_that_serves_both_goes_on_by_itself() {
    let mut stage = stage("echo frontend");
    stage.config.worker.specialties = vec!["all".to_owned()];
    let run = asked(&stage, guess(&stage)).await;
    assert!(matches!(run.end, RunEnd::Finished(_)), "{run:#?}");
    assert!(run.lines(LogStream::Engine).contains(&"the agent takes it for frontend"));
    assert_eq!(run.phases()[0], Phase::Preparing);
}

#[tokio::test]
async fn an_agent_of_another_account_gets_the_task_through_its_own_queue() {
    let mut stage = stage("echo frontend");
    stage.config.worker.specialties = vec!["all".to_owned()];
    let other = shared::config::SpecialtyAgent { account: Some("other".to_owned()), ..Default::default() };
    stage.config.agent.specialty.insert("frontend".to_owned(), other);
    let run = asked(&stage, guess(&stage)).await;
    assert!(matches!(run.end, RunEnd::Referred(_)), "{run:#?}");
}

#[tokio::test]
async fn nobody_is_asked_where_it_is_off_or_decided_or_was_asked_before() {
    let both = &["frontend", "general"][..];
    for (what, is_on, margin, run, choices) in [
        ("off", false, Some(0.0), 1, both),
        ("a clear lead", true, Some(3.0), 1, both),
        ("a person or a label", true, None, 1, both),
        ("a second run", true, Some(0.0), 2, both),
        ("no choice", true, Some(0.0), 1, &both[1..]),
    ] {
        let mut stage = stage("echo frontend");
        stage.config.classify.second_opinion = is_on;
        let mut spec = guess(&stage);
        spec.classification.margin = margin;
        let run = Started::with_choices(&stage.executor().await, spec, run, names(choices)).end().await;
        assert!(matches!(run.end, RunEnd::Finished(_)), "{what}: {run:#?}");
        assert!(!run.lines(LogStream::Engine).iter().any(|line| line.contains("is asked")), "{what}");
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_while_the_agent_is_asked_leaves_no_process_and_no_workspace() {
    let marker = marker();
    let stage = stage(&format!("{}\necho thinking; sleep {marker}", escapees(&marker)));
    let executor = stage.executor().await;
    let choices = names(&["frontend", "general"]);
    let mut started = Started::with_choices(&executor, guess(&stage), 1, choices);
    started.line("is asked").await;
    while processes_with(&marker).is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    started.stop.send_replace(Some(StopReason::Shutdown));
    let run = started.end().await;
    assert_eq!(run.end, RunEnd::Stopped(StopReason::Shutdown));
    assert!(processes_with(&marker).is_empty() && stage.workspaces().is_empty());
}

#[tokio::test]
async fn the_agent_is_asked_within_its_own_limits() {
    let mut stage = stage("sleep 600");
    stage.config.agent.inactivity_ms = 300;
    let run = asked(&stage, guess(&stage)).await;
    assert!(matches!(run.end, RunEnd::Finished(_)), "{run:#?}");
    assert!(run.lines(LogStream::Engine).iter().any(|line| line.starts_with("the agent has no opinion")));
}
