//! `classify` explains what an issue would become, without Redis and without a task.

use std::io::Write;

use serde_json::Value;

use super::home::Home;

const ISSUES: &str = "\
{\"title\": \"Add an endpoint for invoices\", \"body\": \"REST API in FastAPI.\", \"labels\": [\"frontend\"], \"lang\": \"en\"}\n\
\n\
{\"title\": \"ボタンの表示崩れ\", \"body\": null}\n";

fn answers(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_issue_is_explained_to_a_person_and_to_a_program() {
    let home = Home::new();
    let issue = ["classify", "--title", "Login button greyed out", "--body", "CSS in React", "--label", "P0"];
    let said = home.run(&issue).ok();
    for part in
        ["specialty     frontend", "priority      high", "technologies  css, react", "title: \"button\""]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let answer: Value = serde_json::from_str(&home.run(&[&issue[..], &["--json"]].concat()).ok()).unwrap();
    assert_eq!(
        (answer["specialty"].as_str(), answer["secondary"].as_str()),
        (Some("frontend"), Some("backend"))
    );
    assert!(answer["scores"]["frontend"].as_f64() > answer["scores"]["backend"].as_f64(), "{answer}");
}

#[test]
fn many_issues_get_an_answer_a_line_with_their_labels_or_without() {
    let home = Home::new();
    let file = home.write("issues.jsonl", ISSUES);
    let by_label = answers(&home.run(&["classify", "--jsonl", file.to_str().unwrap()]).ok());
    assert_eq!(by_label.len(), 2);
    assert_eq!(
        (&by_label[0]["specialty"], &by_label[0]["secondary"]),
        (&"frontend".into(), &"backend".into())
    );
    assert_eq!(by_label[1]["specialty"], "frontend");
    for name in ["specialty", "secondary", "priority", "complexity", "technologies", "scores"] {
        assert!(by_label[0].get(name).is_some(), "{name}");
    }
    let mut command = home.command(&["classify", "--jsonl", "-", "--ignore-labels"]);
    let pipe = std::process::Stdio::piped;
    let mut child = command.stdin(pipe()).stdout(pipe()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(ISSUES.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(answers(&String::from_utf8(output.stdout).unwrap())[0]["specialty"], "backend");
}

#[test]
fn what_is_no_issue_is_named_by_its_line() {
    let home = Home::new();
    let file = home.write("issues.jsonl", "{\"title\":\"A\"}\n[1]\n");
    let said = home.run(&["classify", "--jsonl", file.to_str().unwrap()]);
    assert_eq!((said.code, said.stdout.lines().count()), (2, 1), "what came before it is answered");
    assert!(said.stderr.contains("issues.jsonl: line 2 is not the JSON of an issue"), "{}", said.stderr);
    let said = home.run(&["classify", "--jsonl", "/nonexistent/x"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("/nonexistent/x"), "{}", said.stderr);
    assert_eq!(home.run(&["classify"]).code, 2, "a title or a file is needed");
}
