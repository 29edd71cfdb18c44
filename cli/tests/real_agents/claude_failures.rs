//! Everything that may come between an agent and its end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testkit::model_api::{Dialect, ModelApi, Turn};

use super::user::{Cli, Ended, User};

/// A workflow whose model always does this; `agent` are further lines of `[agent]`.
fn always(turn: &Turn, agent: &str) -> Ended {
    let turn = turn.clone();
    let api = ModelApi::start(Dialect::Messages, move |_| turn.clone());
    let user = User::with(Cli::Claude, api.unwrap(), agent);
    let ended = user.run();
    user.published_nothing();
    ended
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn turns_that_are_used_up_fail_the_task() {
    always(&Turn::bash("date >> answer"), "max_turns = 2\n").failed("task", "agent.max_turns");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn money_that_is_used_up_fails_the_task() {
    always(&Turn::bash("date >> answer"), "max_budget_usd = 0.01\n").failed("task", "agent.max_budget_usd");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn refused_credentials_fail_the_task_with_what_to_do() {
    always(&Turn::fail(401, "authentication_error"), "").failed("configuration", "ANTHROPIC_API_KEY");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_account_without_credit_fails_the_task_with_what_to_do() {
    always(&Turn::fail(400, "billing_error"), "").failed("configuration", "the account has no credit");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn a_rate_limit_that_goes_on_puts_the_task_back_in_line() {
    let limited = Turn::fail_with(429, "rate_limit_error", &[("retry-after", "1")]);
    always(&limited, "").back_in_line("the account met its usage limit");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn the_limit_of_a_subscription_rests_the_account_until_its_reset() {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let resets_at = (now_s + 3_600).to_string();
    let api = ModelApi::start(Dialect::Messages, move |_| {
        Turn::fail_with(
            429,
            "rate_limit_error",
            &[
                ("anthropic-ratelimit-unified-status", "rejected"),
                ("anthropic-ratelimit-unified-reset", &resets_at),
                ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
            ],
        )
    });
    let user = User::with(Cli::Claude, api.unwrap(), "");
    let mut command = user.workflow();
    command.env_remove("ANTHROPIC_API_KEY").env("CLAUDE_CODE_OAUTH_TOKEN", "dummy-token");
    let ended = user.run_command(command);
    ended.back_in_line("the account met its five_hour limit");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_overloaded_api_has_the_task_tried_again_later() {
    always(&Turn::fail(529, "overloaded_error"), "").delayed("the API is overloaded");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_api_that_fails_has_the_task_tried_again_later() {
    always(&Turn::fail(500, "api_error"), "").delayed("the API failed");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_answer_that_is_cut_has_the_task_tried_again_later() {
    always(&Turn::Cut, "").delayed("to be tried again");
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_api_that_never_answers_ends_by_inactivity() {
    let began = std::time::Instant::now();
    always(&Turn::Hang, "inactivity_ms = 5000\n").failed("task", "agent.inactivity_ms");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_answer_that_stops_in_the_middle_ends_by_inactivity() {
    let api = ModelApi::start(Dialect::Messages, |asked| match asked.number {
        0 => Turn::bash("echo 42 > answer"),
        _ => Turn::HangMidway,
    });
    let user = User::with(Cli::Claude, api.unwrap(), "inactivity_ms = 8000\n");
    user.run().failed("task", "agent.inactivity_ms");
    assert!(user.api.asked().len() >= 2, "it hung in the middle");
    user.published_nothing();
}
