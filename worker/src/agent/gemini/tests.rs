use std::{fs, path::PathBuf};

use shared::config::Config;

use super::*;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/gemini"))
}

/// Events, verdict and the number of lines not understood.
fn replay(name: &str, code: i32, start: Start<'_>) -> (Vec<Event>, Verdict, u32) {
    let text = fs::read_to_string(fixtures().join(name).with_extension("jsonl")).unwrap();
    let mut reading = Reading::new(start, "0.61.0");
    let lines = text.lines().map(|line| Line { text: line.to_owned(), cut: false });
    let events = lines.flat_map(|line| reading.line(Pipe::Stdout, &line)).collect();
    let unknown = reading.unknown;
    (events, reading.verdict(code), unknown)
}

#[test]
fn every_recorded_run_is_understood_line_by_line() {
    let names = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let names: Vec<_> = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 11);
    for name in names {
        assert_eq!(replay(&name, 0, Start::Fresh).2, 0, "{name}");
    }
}

#[test]
fn failures_are_told_by_the_exit_code_and_the_typed_error() {
    // With the exit codes that came with them.
    for (name, code, cause) in [
        ("key_refused_400", 144, Cause::Authentication),
        ("auth_failure_401", 145, Cause::Authentication),
        ("auth_failure_403", 147, Cause::Authentication),
        ("quota_429", 173, Cause::UsageLimit(None)),
        ("rate_limit_429", 173, Cause::UsageLimit(None)),
        ("api_error_500", 244, Cause::ServerError),
        ("overloaded_503", 247, Cause::Overloaded),
        ("max_turns", 53, Cause::TurnsExhausted),
        ("blocked", 0, Cause::ServerError),
    ] {
        let Verdict::Failed(trouble) = replay(name, code, Start::Fresh).1 else { panic!("{name} succeeded") };
        assert_eq!(trouble.cause, cause, "{name}");
        assert!(!trouble.said.is_empty(), "{name}");
    }
}

#[test]
fn a_success_is_told_with_session_text_tools_and_tokens() {
    let (events, verdict, _) = replay("success", 0, Start::Fresh);
    let Verdict::Done(answer) = verdict else { panic!("{verdict:?}") };
    assert_eq!(answer.text, "All done: the answer is 42.");
    assert!(answer.session.is_some());
    assert!(matches!(&events[0], Event::Started { model, .. } if model == "gemini-2.5-pro"));
    assert!(events.iter().any(|e| matches!(e, Event::Tool { detail, .. } if detail.starts_with("echo 42"))));
    assert!(events.contains(&Event::Tokens { input: 200, output: 20 }));
}

#[test]
fn a_session_that_was_quietly_replaced_by_another_is_not_taken_for_the_one_asked_for() {
    let resumed = replay("resume", 0, Start::Resume("d94d491e-5b73-4137-bb2a-df3a6e878ccf")).1;
    assert!(matches!(resumed, Verdict::Done(_)));
    assert_eq!(replay("resume", 0, Start::Resume("another")).1, Verdict::SessionUnknown);
}

#[test]
fn an_end_before_the_result_is_told_by_the_code_alone() {
    let cause = |code| match Reading::new(Start::Fresh, "").verdict(code) {
        Verdict::Failed(trouble) => trouble.cause,
        other => panic!("{other:?}"),
    };
    assert_eq!(cause(NO_CREDENTIALS), Cause::Authentication);
    assert_eq!(cause(1), Cause::NotStarted);
    assert_eq!(cause(137), Cause::NotStarted);
}

#[test]
fn an_agent_that_quotes_a_refused_key_has_one() {
    let mut reading = Reading::new(Start::Fresh, "");
    for text in [
        r#"{"type":"init","session_id":"x"}"#,
        r#"{"type":"message","role":"assistant","content":"API_KEY_INVALID, quota exhausted, 429"}"#,
        r#"{"type":"a_new_kind"}"#,
        r#"{"type":"result","status":"success"}"#,
    ] {
        reading.line(Pipe::Stdout, &Line { text: text.to_owned(), cut: false });
    }
    assert_eq!(reading.unknown, 1);
    assert!(matches!(reading.verdict(144), Verdict::Done(_)));
}

#[test]
fn limits_and_tools_become_settings_and_the_key_stays_in_the_environment() {
    let mut config = Config::defaults().unwrap().agent;
    config.gemini_api_key = "AIza-secret".into();
    config.disallowed_tools = vec!["web_fetch".to_owned()];
    config.system_prompt = "Be brief.".to_owned();
    let call = call(&config, vec!["gemini".into()], Start::Resume("x"));
    let settings: Value = serde_json::from_str(call.argv[4].to_str().unwrap()).unwrap();
    assert_eq!(settings["general"]["maxAttempts"], 4);
    assert_eq!(settings["model"]["maxSessionTurns"], 100);
    assert_eq!(settings["tools"], json!({ "exclude": ["web_fetch"] }));
    assert_eq!(call.preface.as_deref(), Some("Be brief."));
    assert!(!call.argv.iter().any(|arg| arg.to_str().unwrap().contains("secret")));
    assert!(call.env.contains(&("GEMINI_API_KEY".to_owned(), "AIza-secret".into())));
}
