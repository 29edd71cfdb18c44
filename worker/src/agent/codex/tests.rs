use std::{fs, path::PathBuf};

use shared::config::Config;

use super::*;

/// When the recorded limit resets, in seconds since the Unix epoch.
const RESETS_AT_S: u64 = 1_795_269_697;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/codex"))
}

/// Events, verdict and the number of lines not understood.
fn replay(name: &str, start: Start<'_>) -> (Vec<Event>, Verdict, u32) {
    let text = fs::read_to_string(fixtures().join(name).with_extension("jsonl")).unwrap();
    let mut reading = Reading::new(start, "gpt-5-codex", "0.169.0");
    let lines = text.lines().map(|line| Line { text: line.to_owned(), cut: false });
    let events = lines.flat_map(|line| reading.line(Pipe::Stdout, &line)).collect();
    let unknown = reading.unknown;
    (events, reading.judge(1, RESETS_AT_S - 600), unknown)
}

#[test]
fn every_recorded_run_is_understood_line_by_line() {
    let names = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let names: Vec<_> = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 12);
    for name in names {
        assert_eq!(replay(&name, Start::Fresh).2, 0, "{name}");
    }
}

#[test]
fn failures_are_told_by_the_class_in_the_session_log() {
    for (name, cause) in [
        ("api_error_500", Cause::ServerError),
        ("auth_failure_401", Cause::Authentication),
        ("connection_lost_mid_stream", Cause::ServerError),
        ("connection_reset", Cause::ServerError),
        ("insufficient_quota_429", Cause::UsageLimit(None)),
        ("overloaded_503", Cause::Overloaded),
        ("prompt_too_long", Cause::PromptTooLong),
        ("rate_limit_429", Cause::UsageLimit(None)),
        ("unknown_model_400", Cause::UnknownModel),
        ("usage_limit_429", Cause::UsageLimit(Some(Duration::from_secs(600)))),
    ] {
        let Verdict::Failed(trouble) = replay(name, Start::Fresh).1 else { panic!("{name} succeeded") };
        assert_eq!(trouble.cause, cause, "{name}");
        assert!(!trouble.said.is_empty(), "{name}");
    }
}

#[test]
fn a_success_is_told_with_session_text_tools_and_tokens() {
    let (events, verdict, _) = replay("success", Start::Fresh);
    let Verdict::Done(answer) = verdict else { panic!("{verdict:?}") };
    assert_eq!(answer.text, "All done: the answer is 42.");
    let session = answer.session.unwrap();
    let version = "0.169.0".to_owned();
    let model = "gpt-5-codex".to_owned();
    assert_eq!(events[0], Event::Started { agent: "codex", session, model, version });
    assert!(events.iter().any(|e| matches!(e, Event::Tool { detail, .. } if detail.contains("echo 42"))));
    assert!(events.contains(&Event::Tokens { input: 200, output: 20 }));
}

#[test]
fn a_failing_command_is_told_and_is_no_failure_of_the_run() {
    let (events, verdict, _) = replay("failed_command", Start::Fresh);
    assert!(matches!(verdict, Verdict::Done(_)));
    assert!(events.contains(&Event::ToolFailed("exit code 1: answer\n".to_owned())));
}

#[test]
fn an_agent_that_quotes_a_limit_has_not_met_one() {
    let mut reading = Reading::new(Start::Fresh, "", "");
    for text in [
        r#"{"type":"thread.started","thread_id":"x"}"#,
        r#"{"type":"item.completed","item":{"type":"agent_message","text":"usage_limit_exceeded: usage limit reached 429"}}"#,
        r#"{"type":"a.new.kind","x":1}"#,
        "not JSON",
        r#"{"type":"turn.completed","usage":{}}"#,
    ] {
        reading.line(Pipe::Stdout, &Line { text: text.to_owned(), cut: false });
    }
    assert_eq!(reading.unknown, 2);
    assert!(matches!(reading.verdict(1), Verdict::Done(_)));
}

#[test]
fn an_end_without_a_turn_s_end_is_a_crash_a_lost_session_or_no_start() {
    let end = |start, lines: &[&str]| {
        let mut reading = Reading::new(start, "", "");
        for line in lines {
            reading.line(Pipe::Stdout, &Line { text: (*line).to_owned(), cut: false });
        }
        match reading.judge(137, 0) {
            Verdict::Failed(trouble) => Some(trouble.cause),
            _ => None,
        }
    };
    let started = r#"{"type":"thread.started","thread_id":"x"}"#;
    assert_eq!(end(Start::Fresh, &[started]), Some(Cause::Crashed));
    assert_eq!(end(Start::Fresh, &[]), Some(Cause::NotStarted));
    assert_eq!(end(Start::Resume("x"), &[]), None);
}

#[test]
fn the_key_is_in_the_environment_and_never_among_the_arguments() {
    let mut config = Config::defaults().unwrap().agent;
    config.openai_api_key = "sk-secret".into();
    config.openai_base_url = "http://127.0.0.1:1/v1".to_owned();
    config.system_prompt = "Say \"please\".".to_owned();
    let call = call(&config, vec!["codex".into()], Start::Resume("abc"));
    let argv: Vec<_> = call.argv.iter().map(|arg| arg.to_str().unwrap()).collect();
    assert!(argv.ends_with(&["abc", "-"]) && argv.windows(2).any(|pair| pair == ["exec", "resume"]));
    assert!(argv.contains(&r#"developer_instructions="Say \"please\".""#));
    assert!(argv.iter().any(|arg| arg.contains("request_max_retries=3")));
    assert!(!argv.iter().any(|arg| arg.contains("secret")));
    assert_eq!(call.env, [("OPENAI_API_KEY".to_owned(), "sk-secret".into())]);
}
