//! Gemini CLI, driven from an issue's text to the pushed branch.

use serde_json::json;
use testkit::model_api::{Dialect, ModelApi, Turn};

use super::user::{Cli, Ended, KEY, User};

fn shell(command: &str) -> Turn {
    Turn::call("run_shell_command", json!({ "command": command }))
}

fn always(turn: &Turn) -> Ended {
    let turn = turn.clone();
    let user = User::new(Cli::Gemini, ModelApi::start(Dialect::Gemini, move |_| turn.clone()).unwrap());
    let ended = user.run();
    user.published_nothing();
    ended
}

#[test]
#[ignore = "needs the Gemini CLI: scripts/test --real"]
fn gemini_edits_red_tests_go_back_to_its_session_and_the_branch_is_pushed() {
    let api = ModelApi::start(Dialect::Gemini, |asked| match asked.number {
        0 => shell("echo 43 > answer"),
        1 => Turn::say("It is 43 now."),
        2 => shell("echo 42 > answer"),
        _ => Turn::say("It is 42 now."),
    });
    let user = User::new(Cli::Gemini, api.unwrap());
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    assert!(ended.text.contains("passed (make test)"), "{}", ended.text);
    let asked = user.api.asked();
    assert_eq!(asked[0].key.as_deref(), Some(KEY));
    assert!(asked[2].mentions("It is 43 now."), "the session is not a new one: {}", asked[2].body);
}

#[test]
#[ignore = "needs the Gemini CLI: scripts/test --real"]
fn refused_credentials_fail_the_task_with_what_to_do() {
    always(&Turn::fail(400, "API_KEY_INVALID")).failed("configuration", "GEMINI_API_KEY");
    always(&Turn::fail(401, "UNAUTHENTICATED")).failed("configuration", "GEMINI_API_KEY");
}

#[test]
#[ignore = "needs the Gemini CLI: scripts/test --real"]
fn a_quota_that_is_used_up_puts_the_task_back_in_line() {
    let used_up = Turn::fail(429, "RESOURCE_EXHAUSTED");
    always(&used_up).back_in_line("the account met its usage limit");
}
