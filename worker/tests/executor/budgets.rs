//! Money and time of one run, over all its rounds.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use shared::{FailureClass, queue::Expense, task_log::LogStream};
use worker::run::{Allowance, Charge, Phase, RunEnd};

use crate::{
    claude::with_claude,
    stage::{Run, Stage, Started},
};

/// A `claude` that writes `answer` in each call, and whose session costs a quarter of a dollar more each time.
fn with_paid_claude(first: &str, resumed: &str) -> Stage {
    let result = |usd: &str| {
        format!(
            r#"{{"type":"result","subtype":"success","is_error":false,"result":"$*","total_cost_usd":{usd}}}"#
        )
    };
    let script = format!(
        r#"echo '{{"type":"system","subtype":"init","session_id":"s","model":"m"}}'
echo "$*" >> calls
case $* in *--resume=s*) {resumed}; echo '{}';; *) {first}; echo '{}';; esac"#,
        result("0.5"),
        result("0.25"),
    );
    with_claude(&script, &[])
}

/// Money that others have left of a task's or a day's budget, and what is charged of it.
#[derive(Clone, Default)]
struct Till(Arc<Mutex<(Allowance, Vec<Expense>)>>);

impl Till {
    fn new(task: Option<u64>, day: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new((Allowance { task, day }, Vec::new()))))
    }

    fn charge(&self) -> Charge {
        let till = self.clone();
        Arc::new(move |expense: Expense| {
            let (left, charged) = &mut *till.0.lock().unwrap();
            if expense.micro_usd > 0 && !charged.contains(&expense) {
                charged.push(expense);
                let less = |left: Option<u64>| left.map(|left| left.saturating_sub(expense.micro_usd));
                *left = Allowance { task: less(left.task), day: less(left.day) };
            }
            let left = *left;
            Box::pin(async move { Some(left) })
        })
    }

    fn charged(&self) -> Vec<u64> {
        self.0.lock().unwrap().1.iter().map(|expense| expense.micro_usd).collect()
    }

    async fn run(&self, stage: &Stage) -> Run {
        Started::with(&stage.executor().await, stage.task("x"), self.charge()).end().await
    }
}

/// How often an agent was called.
fn rounds(run: &Run) -> usize {
    run.phases().iter().filter(|phase| matches!(phase, Phase::Agent { .. })).count()
}

#[tokio::test]
async fn each_call_is_charged_what_it_adds_to_its_session_and_may_cost_what_is_left() {
    let stage = with_paid_claude("echo 43 > answer", "echo 42 > answer");
    let till = Till::new(Some(2_000_000), Some(900_000));
    let run = till.run(&stage).await;
    assert_eq!(till.charged(), [250_000, 250_000], "the session's total is not counted twice");
    let calls = stage.remote.read(run.branch(), "calls").unwrap();
    let budgets: Vec<_> = calls.lines().map(|call| call.split("--max-budget-usd ").nth(1).unwrap()).collect();
    assert!(budgets[0].starts_with("0.900000") && budgets[1].starts_with("0.650000"), "{calls}");
}

#[tokio::test]
async fn without_a_budget_none_is_passed_on() {
    let stage = with_paid_claude("echo 42 > answer", "true");
    let till = Till::new(None, None);
    let run = till.run(&stage).await;
    assert!(!stage.remote.read(run.branch(), "calls").unwrap().contains("--max-budget-usd"));
    assert_eq!(till.charged(), [250_000]);
}

#[tokio::test]
async fn a_task_whose_money_is_used_up_gets_no_further_round_and_says_why() {
    let stage = with_paid_claude("echo 43 > answer", "echo 42 > answer");
    let till = Till::new(Some(255_000), None);
    let run = till.run(&stage).await;
    assert_eq!(run.failure().class, FailureClass::Task);
    let message = &run.failure().message;
    assert!(
        message.starts_with("tests still red after 1 rounds, agent.max_budget_usd is used up"),
        "{message}"
    );
    assert_eq!(till.charged(), [250_000]);
}

#[tokio::test]
async fn a_task_that_was_paid_for_in_earlier_runs_begins_none() {
    let stage = with_paid_claude("echo 42 > answer", "true");
    let till = Till::new(Some(9_999), Some(5_000_000));
    let run = till.run(&stage).await;
    assert_eq!(run.failure().class, FailureClass::Task);
    assert!(run.failure().message.contains("agent.max_budget_usd"), "{run:#?}");
    assert!(run.lines(LogStream::Agent).is_empty() && till.charged().is_empty());
}

#[tokio::test]
async fn a_day_whose_money_is_spent_sends_the_task_back_in_line() {
    // Before its first call, before its second, and by the limit of a call.
    let exhausted = r#"cat > /dev/null <<'X'
X
echo '{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.25,"errors":["over"]}'; exit 1"#;
    for (first, left, calls) in
        [("echo 42 > answer", 9_999, 1), ("echo 43 > answer", 250_000, 2), (exhausted, 5_000_000, 1)]
    {
        let stage = with_paid_claude(first, "echo 42 > answer");
        let run = Till::new(Some(6_000_000), Some(left)).run(&stage).await;
        let failure = run.failure();
        assert_eq!(failure.class, FailureClass::UsageLimit, "{failure:?}");
        assert_eq!(failure.retry_after, Some(Duration::ZERO), "the budget may be raised at any time");
        assert!(failure.message.contains("agent.budget_usd_per_day"), "{failure:?}");
        assert_eq!(rounds(&run), calls);
    }
}

#[tokio::test]
async fn what_was_told_before_a_stop_is_charged() {
    let stage = with_paid_claude("echo 42 > answer", "true");
    let mut stage = stage;
    let program = stage.program(
        "claude",
        "case $* in *--version) echo 2.1.328; exit;; esac; cat > /dev/null\n\
         echo '{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"total_cost_usd\":0.125}'\n\
         echo '{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"still here\"}]}}'\n\
         sleep 60",
    );
    stage.config.agent.command = vec![program.display().to_string()];
    let till = Till::new(None, None);
    let mut run = Started::with(&stage.executor().await, stage.task("x"), till.charge());
    run.line("still here").await;
    run.stop.send(Some(worker::run::StopReason::Shutdown)).unwrap();
    assert!(matches!(run.end().await.end, RunEnd::Stopped(_)));
    assert_eq!(till.charged(), [125_000]);
}

#[tokio::test]
async fn a_run_whose_lease_is_gone_when_its_cost_is_counted_publishes_nothing() {
    let stage = with_paid_claude("echo 42 > answer", "true");
    let gone: Charge =
        Arc::new(|expense| Box::pin(async move { (expense.micro_usd == 0).then(Allowance::default) }));
    let run = Started::with(&stage.executor().await, stage.task("x"), gone).end().await;
    assert_eq!(run.end, RunEnd::Stopped(worker::run::StopReason::LeaseLost));
    assert_eq!(stage.remote.branches().unwrap(), ["main"]);
}

#[tokio::test]
async fn the_wall_clock_goes_on_over_all_rounds() {
    let mut stage = with_paid_claude("sleep 1; echo 43 > answer", "sleep 3.5; echo 42 > answer");
    stage.config.agent.wall_clock_ms = 4_000;
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("agent.wall_clock_ms"), "{run:#?}");
    assert_eq!(rounds(&run), 2);
}
