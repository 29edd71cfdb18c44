//! Codex, driven from an issue's text to the pushed branch.

use serde_json::json;
use testkit::model_api::{Dialect, ModelApi, Turn};

use super::{
    killed,
    user::{Cli, Ended, KEY, User},
};

fn shell(command: &str) -> Turn {
    Turn::call("exec_command", json!({ "cmd": command, "yield_time_ms": 30_000 }))
}

fn always(turn: &Turn) -> Ended {
    let turn = turn.clone();
    let user = User::new(Cli::Codex, ModelApi::start(Dialect::Responses, move |_| turn.clone()).unwrap());
    let ended = user.run();
    user.published_nothing();
    ended
}

#[test]
#[ignore = "needs the Codex CLI: scripts/test --real"]
fn codex_edits_the_tests_pass_and_the_branch_is_pushed() {
    let api = ModelApi::start(Dialect::Responses, |asked| match asked.number {
        0 => shell("echo 42 > answer"),
        _ => Turn::say("The answer is 42 now."),
    });
    let user = User::with(Cli::Codex, api.unwrap(), "system_prompt = \"Mind the answer.\"\n");
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    assert!(ended.text.contains("The answer is 42 now."), "{}", ended.text);
    assert!(ended.text.contains("passed (make test)"), "{}", ended.text);
    let asked = user.api.asked();
    assert_eq!(asked[0].key.as_deref(), Some(KEY));
    assert!(asked[0].mentions("Mind the answer.") && asked[0].mentions("It should be 42."));
}

#[test]
#[ignore = "needs the Codex CLI: scripts/test --real"]
fn red_tests_go_back_to_the_resumed_session_and_come_out_green() {
    let api = ModelApi::start(Dialect::Responses, |asked| match asked.number {
        0 => shell("echo 43 > answer"),
        1 => Turn::say("It is 43 now."),
        2 => shell("echo 42 > answer"),
        _ => Turn::say("It is 42 now."),
    });
    let user = User::new(Cli::Codex, api.unwrap());
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    let second = &user.api.asked()[2];
    assert!(second.mentions("It is 43 now."), "the session is not a new one: {}", second.body);
    assert!(second.mentions("make test"), "it is told what failed: {}", second.body);
}

#[test]
#[ignore = "needs the Codex CLI: scripts/test --real"]
fn refused_credentials_fail_the_task_with_what_to_do() {
    always(&Turn::fail(401, "invalid_api_key")).failed("configuration", "OPENAI_API_KEY");
}

#[test]
#[ignore = "needs the Codex CLI: scripts/test --real"]
fn a_rate_limit_that_goes_on_puts_the_task_back_in_line() {
    always(&Turn::fail(429, "rate_limit_exceeded")).back_in_line("the account met its usage limit");
}

#[test]
#[ignore = "needs the Codex CLI: scripts/test --real"]
fn a_killed_worker_leaves_no_process_and_the_next_one_finishes_the_task() {
    let api = ModelApi::start(Dialect::Responses, |asked| killed::busy_once(asked, shell));
    let user = User::new(Cli::Codex, api.unwrap());
    killed::a_killed_worker_leaves_no_process_and_the_next_one_finishes_the_task(&user);
}

#[test]
#[ignore = "needs the Codex CLI: scripts/test --real"]
fn a_stopped_worker_leaves_nothing_and_gives_the_task_back() {
    let api = ModelApi::start(Dialect::Responses, |asked| killed::busy_once(asked, shell));
    let user = User::new(Cli::Codex, api.unwrap());
    killed::a_stopped_worker_leaves_nothing_and_gives_the_task_back(&user);
}
