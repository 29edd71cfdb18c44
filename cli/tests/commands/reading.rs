//! Tasks that are made, read and cancelled.

use std::io::Write;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::RedisServer;

use super::home::Home;

fn create(home: &Home, extra: &[&str]) -> String {
    let issue = home.write("issue.md", "# Button does not react\n\nThe CSS of the React page is wrong.\n");
    let mut arguments = vec!["create-task", "--repo", "octo/cat", "--issue-file", issue.to_str().unwrap()];
    arguments.extend(extra);
    home.run(&arguments).ok().trim().to_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_task_is_made_held_shown_and_cancelled() {
    let home = Home::new();
    let id = create(&home, &[]);
    let shown = home.run(&["status", "--task-id", &id]).ok();
    assert!(shown.contains("held") && shown.contains("octo/cat") && shown.contains("frontend"), "{shown}");
    let record = json(&home.run(&["status", "--task-id", &id, "--json"]).ok());
    assert_eq!((record["status"].as_str(), record["id"].as_str()), (Some("held"), Some(id.as_str())));
    let all = json(&home.run(&["status", "--json"]).ok());
    assert_eq!(all["specialties"][0]["held"], 1, "{all}");

    assert_eq!(home.run(&["logs", &id]).ok(), "");
    assert!(home.run(&["cancel", &id]).ok().contains("cancelled"));
    let again = home.run(&["cancel", &id]);
    assert_eq!(again.code, 8, "{}", again.stderr);
    assert!(again.stderr.contains("already ended: cancelled"), "{}", again.stderr);
    home.assert_no_process_is_left();
}

#[test]
fn a_task_in_the_queue_says_why_it_waits() {
    let home = Home::new();
    let id = create(&home, &["--enqueue", "--specialty", "backend", "--priority", "high"]);
    let shown = home.run(&["status", "--task-id", &id]).ok();
    assert!(shown.contains("pending") && shown.contains("high") && shown.contains("backend"), "{shown}");
    assert!(shown.contains("no worker that is online takes its specialty"), "{shown}");
    let all = home.run(&["status"]).ok();
    assert!(all.contains("backend: 1 pending because no worker"), "{all}");
}

#[test]
fn an_id_of_ones_own_is_taken_once() {
    let home = Home::new();
    assert_eq!(create(&home, &["--task-id", "task-20241208-001"]), "task-20241208-001");
    let issue = home.path().join("issue.md");
    let again = ["create-task", "--repo", "octo/cat", "--issue-file", issue.to_str().unwrap()];
    let said = home.run(&[&again[..], &["--task-id", "task-20241208-001"]].concat());
    assert_eq!(said.code, 8, "{}", said.stderr);
}

#[test]
fn an_issue_comes_as_json_on_standard_input_and_its_specialty_may_be_an_alias() {
    let home = Home::new();
    let mut command =
        home.command(&["create-task", "--repo", "o/n", "--issue-file", "-", "--specialty", "API", "--json"]);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let issue = br#"{"title":"Fix","body":"b","labels":[{"name":"x"}],"number":42}"#;
    child.stdin.take().unwrap().write_all(issue).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!((answer["status"].as_str(), answer["specialty"].as_str()), (Some("held"), Some("backend")));
    let record =
        json(&home.run(&["status", "--json", "--task-id", answer["task_id"].as_str().unwrap()]).ok());
    assert_eq!(record["issue"], 42);
    let unknown = home.write("i.md", "# T");
    let said = home.run(&[
        "create-task",
        "--repo",
        "o/n",
        "--specialty",
        "astrology",
        "--issue-file",
        unknown.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("astrology") && said.stderr.contains("backend"), "{}", said.stderr);
}

#[test]
fn what_does_not_exist_ends_with_code_6() {
    let home = Home::new();
    create(&home, &[]);
    for arguments in [&["logs", "nope"][..], &["cancel", "nope"], &["status", "--task-id", "nope"]] {
        let said = home.run(arguments);
        assert_eq!(said.code, 6, "{}", said.stderr);
        assert!(said.stderr.contains("no task nope"), "{}", said.stderr);
    }
}

#[test]
fn a_followed_log_ends_with_its_task() {
    let home = Home::new();
    let redis = RedisServer::start().unwrap();
    let config = home.write("redis.toml", &format!("[redis]\nurl = \"{}\"\n", redis.url()));
    let config = ["--config", config.to_str().unwrap()];
    let id = create(&home, &config);
    let mut following = home.start(&[&["logs", "-f", &id], &config[..]].concat());
    home.run(&[&["cancel", &id], &config[..]].concat()).ok();
    assert_eq!(following.code(), 0);
    assert!(!home.redis_dir().exists(), "with a server configured no private one is made");
}

#[test]
fn agents_says_that_there_are_none() {
    let home = Home::new();
    create(&home, &[]);
    assert!(home.run(&["agents"]).ok().contains("no worker"));
    assert_eq!(home.run(&["agents", "--json"]).ok().trim(), "[]");
}

#[test]
fn a_redis_that_is_configured_and_not_there_ends_with_code_5() {
    let home = Home::new();
    let mut command = home.command(&["status"]);
    command.env("REDIS_URL", format!("unix://{}/absent.sock", home.path().display()));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("redis.url"));
}

#[test]
fn a_signal_ends_a_followed_log_at_once() {
    let home = Home::new();
    let id = create(&home, &[]);
    let mut following = home.start(&["logs", "-f", &id]);
    super::home::eventually("it owns the private redis", || home.processes().len() > 1);
    following.signal(Signal::SIGTERM);
    assert_eq!(following.code(), -1);
    home.assert_no_process_is_left();
}
