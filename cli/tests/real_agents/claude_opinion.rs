//! Claude Code says where a task belongs, without a tool, and then works on it.

use testkit::model_api::{Dialect, ModelApi, Turn};

use super::user::{AtWork, Cli, User};

#[test]
#[ignore = "needs the Claude Code CLI: scripts/test --real"]
fn a_second_opinion_is_one_turn_without_tools_and_the_work_goes_on() {
    let api = ModelApi::start(Dialect::Messages, |asked| match asked.number {
        0 => Turn::say("backend"),
        1 => Turn::bash("echo 42 > answer"),
        _ => Turn::say("Done."),
    });
    let user = User::new(Cli::Claude, api.unwrap());
    let on = [("CLAUDE_CLUSTER__CLASSIFY__SECOND_OPINION", "true")];
    let at_work = AtWork::begin(&user, |spec| spec.classification.margin = Some(0.0), &on);
    at_work.assert_completed_in_the_end();
    assert_eq!(at_work.record().specialty.as_str(), "general", "the worker serves both");
    let asked = user.api.asked();
    let tools = |number: usize| asked[number].body["tools"].as_array().map_or(0, Vec::len);
    assert!(asked[0].mentions("Which kind of work"), "{}", at_work.log(&user));
    assert_eq!(tools(0), 0, "{}", asked[0].body);
    assert!(tools(1) > 0 && asked[1].mentions("It is taken for work on backend"), "{}", asked[1].body);
}
