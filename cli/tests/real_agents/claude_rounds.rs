//! Work that comes to a good end.

use serde_json::json;
use testkit::model_api::{Dialect, ModelApi, Turn};

use super::user::{Cli, KEY, User};

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn claude_code_edits_the_tests_pass_and_the_branch_is_pushed() {
    let api = ModelApi::start(Dialect::Messages, |asked| {
        let directory = asked.tool_result().lines().next().unwrap_or_default().to_owned();
        let file = format!("{directory}/answer");
        match asked.number {
            0 | 2 => Turn::bash("pwd"),
            1 => Turn::call("Read", json!({ "file_path": file })),
            3 => Turn::call("Edit", json!({ "file_path": file, "old_string": "41", "new_string": "42" })),
            _ => Turn::say("The answer is 42 now."),
        }
    });
    let user = User::with(Cli::Claude, api.unwrap(), "system_prompt = \"Mind the answer.\"\n");
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    assert!(ended.text.contains("The answer is 42 now."), "{}", ended.text);
    assert!(ended.text.contains("passed (make test)"), "{}", ended.text);
    let asked = user.api.asked();
    assert_eq!(asked[0].key.as_deref(), Some(KEY));
    assert!(asked[0].mentions("Mind the answer.") && asked[0].mentions("It should be 42."));
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn red_tests_go_back_to_the_resumed_session_and_come_out_green() {
    let api = ModelApi::start(Dialect::Messages, |asked| match asked.number {
        0 => Turn::bash("echo 43 > answer"),
        1 => Turn::say("It is 43 now."),
        2 => Turn::bash("echo 42 > answer"),
        _ => Turn::say("It is 42 now."),
    });
    let user = User::new(Cli::Claude, api.unwrap());
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    assert!(ended.text.contains("passed (make test)"), "{}", ended.text);
    let second = &user.api.asked()[2];
    assert!(second.mentions("It is 43 now."), "the session is not a new one: {}", second.body);
    assert!(second.mentions("make test"), "it is told what failed: {}", second.body);
    let mut sums = ended
        .text
        .lines()
        .filter_map(|line| line.split_once(" USD so far in this session")?.0.rsplit(' ').next());
    let session: f64 = sums.next_back().unwrap().parse().unwrap();
    let counted = ended.record["micro_usd"].as_f64().unwrap() / 1_000_000.0;
    assert!(counted > 0.0 && (counted - session).abs() < 0.000_1, "{counted} of {session}: {}", ended.record);
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn an_agent_that_changes_nothing_ends_the_task_with_its_answer() {
    let api = ModelApi::start(Dialect::Messages, |_| Turn::say("It is right as it is: usage limit reached."));
    let user = User::new(Cli::Claude, api.unwrap());
    let ended = user.run();
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert_eq!(ended.record["result"]["outcome"], "no_change", "{}", ended.record);
    assert!(ended.text.contains("It is right as it is"), "{}", ended.text);
    user.published_nothing();
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn work_in_the_background_is_waited_for_and_its_second_result_counts() {
    let api = ModelApi::start(Dialect::Messages, |asked| match asked.number {
        0 => Turn::call(
            "Bash",
            json!({
                "command": "sleep 1; echo 42 > answer", "description": "scripted",
                "run_in_background": true,
            }),
        ),
        1 => Turn::say("It is being worked on."),
        _ => Turn::say("The background job has ended."),
    });
    let user = User::new(Cli::Claude, api.unwrap());
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    assert_eq!(ended.text.matches("USD so far in this session").count(), 2, "{}", ended.text);
}

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn one_rate_limit_is_waited_out_by_the_cli_itself() {
    let api = ModelApi::start(Dialect::Messages, |asked| match asked.number {
        0 => Turn::fail_with(429, "rate_limit_error", &[("retry-after", "1")]),
        1 => Turn::bash("echo 42 > answer"),
        _ => Turn::say("Done."),
    });
    let user = User::new(Cli::Claude, api.unwrap());
    let ended = user.run();
    assert_eq!(user.answer(&ended), "42\n");
    assert!(ended.text.contains("retry 1 of 1"), "{}", ended.text);
}
