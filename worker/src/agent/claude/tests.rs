use std::{fs, path::PathBuf, time::Duration};

use shared::config::Config;

use super::*;
use crate::agent::{Answer, Cause};

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/claude"))
}

/// Events, verdict and the number of lines not understood.
fn replay(name: &str, code: i32, start: Start<'_>) -> (Vec<Event>, Verdict, u32) {
    let text = fs::read_to_string(fixtures().join(name).with_extension("jsonl")).unwrap();
    let mut reading = Reading::new(start);
    let lines = text.lines().map(|line| Line { text: line.to_owned(), cut: false });
    let events = lines.flat_map(|line| reading.line(Pipe::Stdout, &line)).collect();
    let unknown = reading.unknown;
    // A moment ten minutes before the reset that the recorded limit names.
    let verdict = judge(reading.ended, code, None, 1_795_176_050 - 600);
    (events, verdict, unknown)
}

fn cause(name: &str) -> Cause {
    match replay(name, 1, Start::Fresh).1 {
        Verdict::Failed(trouble) => trouble.cause,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_recorded_run_is_understood_line_by_line() {
    let mut seen = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let (_, _, unknown) = replay(&name, 0, Start::Fresh);
        // Partial messages are asked for by nobody here; they are skipped and counted.
        let expected = if name == "partial_messages" { 6 } else { 0 };
        assert_eq!(unknown, expected, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 21);
}

#[test]
fn failures_are_told_by_typed_fields() {
    for (name, expected) in [
        ("api_error_500", Cause::ServerError),
        ("auth_failure_401", Cause::Authentication),
        ("auth_failure_403", Cause::Authentication),
        ("billing_400", Cause::Billing),
        ("connection_lost_mid_stream", Cause::Connection),
        ("connection_reset", Cause::Connection),
        ("error_max_budget", Cause::MoneyExhausted),
        ("error_max_turns", Cause::TurnsExhausted),
        ("no_credentials", Cause::Authentication),
        ("overloaded_529", Cause::Overloaded),
        ("rate_limit_429", Cause::UsageLimit(None)),
        ("resume_unknown", Cause::ServerError),
        ("sigint_during_bash", Cause::Crashed),
        ("sigterm_during_bash", Cause::Crashed),
        ("usage_limit_oauth_429", Cause::UsageLimit(Some(Duration::from_secs(600)))),
    ] {
        assert_eq!(cause(name), expected, "{name}");
    }
}

#[test]
fn what_no_recording_shows_is_told_by_the_documented_fields() {
    let verdict = |result: &str| {
        let mut reading = Reading::new(Start::Fresh);
        reading.line(Pipe::Stdout, &Line { text: result.to_owned(), cut: false });
        match reading.verdict(1) {
            Verdict::Failed(trouble) => trouble.cause,
            other => panic!("{result}: {other:?}"),
        }
    };
    for (fields, expected) in [
        (r#""is_error":true,"terminal_reason":"prompt_too_long""#, Cause::PromptTooLong),
        (r#""is_error":false,"stop_reason":"refusal""#, Cause::Refusal),
        (r#""is_error":true,"api_error_status":404"#, Cause::UnknownModel),
        (r#""is_error":true,"api_error_status":413"#, Cause::InvalidRequest),
        // Fields of another kind than ever before do not hide the rest.
        (r#""is_error":true,"errors":null,"num_turns":"7","api_error_status":401"#, Cause::Authentication),
    ] {
        assert_eq!(verdict(&format!(r#"{{"type":"result","subtype":"success",{fields}}}"#)), expected);
    }
}

#[test]
fn successes_are_told_with_session_text_tools_and_cost() {
    for name in ["success", "background_task_two_results", "big_output", "permission_denied", "resume"] {
        let (events, verdict, _) = replay(name, 0, Start::Fresh);
        let Verdict::Done(Answer { text, session }) = verdict else { panic!("{name}: {verdict:?}") };
        assert!(!text.is_empty() && session.is_some(), "{name}");
        assert!(matches!(&events[0], Event::Started { version, .. } if version == "2.1.328"), "{name}");
        assert!(events.iter().any(|event| matches!(event, Event::Tool { .. })), "{name}");
        assert!(events.iter().any(|event| matches!(event, Event::Cost { usd, .. } if *usd > 0.0)), "{name}");
    }
}

#[test]
fn the_exit_code_does_not_outweigh_the_result() {
    assert!(matches!(replay("success", 1, Start::Fresh).1, Verdict::Done(_)));
    assert!(matches!(replay("sigint_during_bash", 0, Start::Fresh).1, Verdict::Failed(_)));
}

#[test]
fn an_unknown_session_asks_for_a_fresh_start_only_when_one_was_resumed() {
    assert_eq!(replay("resume_unknown", 1, Start::Resume("x")).1, Verdict::SessionUnknown);
    assert!(matches!(replay("resume_unknown", 1, Start::Fresh).1, Verdict::Failed(_)));
}

#[test]
fn an_agent_that_quotes_a_limit_has_not_met_one() {
    let line =
        r#"{"type":"assistant","message":{"content":[{"type":"text","text":"usage limit reached 429"}]}}"#;
    let result = r#"{"type":"result","subtype":"success","is_error":false,"result":"usage limit reached"}"#;
    let mut reading = Reading::new(Start::Fresh);
    for text in [line, result] {
        reading.line(Pipe::Stdout, &Line { text: text.to_owned(), cut: false });
    }
    assert!(matches!(reading.verdict(1), Verdict::Done(_)));
}

#[test]
fn complaints_without_any_json_are_a_matter_of_configuration() {
    let mut reading = Reading::new(Start::Fresh);
    reading.line(Pipe::Stderr, &Line { text: "error: unknown option '--x'".into(), cut: false });
    let Verdict::Failed(trouble) = reading.verdict(1) else { panic!("it did not start") };
    assert_eq!(trouble.cause, Cause::NotStarted);
    assert!(trouble.said.contains("--x"));
}

#[test]
fn tools_and_instructions_of_the_configuration_are_passed_on() {
    let mut config = Config::defaults().unwrap().agent;
    config.allowed_tools = vec!["Bash(make *)".to_owned(), "Read".to_owned()];
    config.disallowed_tools = vec!["WebFetch".to_owned()];
    config.system_prompt = "Be brief.".to_owned();
    config.retries_max = 1;
    let call = call(&config, vec!["claude".into()], Start::Fresh, Path::new("/tmp"), Some(2_050_000));
    let argv: Vec<_> = call.argv.iter().map(|arg| arg.to_str().unwrap()).collect();
    assert!(
        argv.contains(&"--allowedTools=Bash(make *),Read") && argv.contains(&"--disallowedTools=WebFetch")
    );
    assert!(argv.windows(2).any(|pair| pair == ["--append-system-prompt", "Be brief."]));
    assert!(argv.windows(2).any(|pair| pair == ["--max-budget-usd", "2.050000"]));
    assert!(call.env.contains(&("CLAUDE_CODE_MAX_RETRIES".to_owned(), "1".into())));
}

#[test]
fn credentials_are_in_the_environment_and_never_among_the_arguments() {
    let mut config = Config::defaults().unwrap().agent;
    config.anthropic_api_key = "sk-ant-secret".into();
    config.model = "opus".into();
    let call = call(&config, vec!["claude".into()], Start::Resume("abc"), Path::new("/tmp"), None);
    let argv: Vec<_> = call.argv.iter().map(|arg| arg.to_str().unwrap()).collect();
    assert!(argv.contains(&"--resume=abc") && argv.contains(&"opus") && argv.contains(&"100"));
    assert!(argv.windows(2).any(|pair| pair == ["--setting-sources", ""]));
    assert!(!argv.iter().any(|arg| arg.contains("secret")));
    assert!(call.env.contains(&("ANTHROPIC_API_KEY".into(), "sk-ant-secret".into())));
}
