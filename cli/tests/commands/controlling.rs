//! Tasks that are listed, moved, changed, retried and deleted; specialties and workers that are stopped.

use serde_json::Value;

use super::home::{Home, Said};

fn create(home: &Home, id: &str, extra: &[&str]) {
    let issue = home.write("issue.md", "# Button does not react\n\nThe CSS of the React page is wrong.\n");
    let mut arguments =
        vec!["create-task", "--repo", "octo/cat", "--issue-file", issue.to_str().unwrap(), "--task-id", id];
    arguments.extend(extra);
    home.run(&arguments).ok();
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", said.stdout, said.stderr))
}

#[test]
fn a_waiting_task_is_moved_changed_cancelled_retried_and_forgotten() {
    let home = Home::new();
    create(&home, "t-1", &["--enqueue", "--specialty", "backend"]);
    assert!(
        home.run(&["tasks", "move", "t-1", "--specialty", "frontend", "--priority", "high"])
            .ok()
            .contains("moved")
    );
    let issue = home.write("new.md", "# Another title\n\nAnother text.\n");
    let changed = ["tasks", "change", "t-1", "--issue-file", issue.to_str().unwrap(), "--labels", "bug,ui"];
    assert!(home.run(&changed).ok().contains("changed"));
    let shown = home.run(&["tasks", "show", "t-1"]).ok();
    for word in
        ["pending", "frontend", "high", "Another title", "no worker that is online takes its specialty"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(
        json(&home.run(&["tasks", "show", "t-1", "--json"]))["why"],
        "no worker that is online takes its specialty"
    );
    let retried = home.run(&["tasks", "retry", "t-1"]);
    assert_eq!(retried.code, 8, "{}", retried.stderr);
    assert!(retried.stderr.contains("t-1 is pending and cannot be retried"), "{}", retried.stderr);
    assert_eq!(home.run(&["tasks", "delete", "t-1"]).code, 8);

    home.run(&["tasks", "cancel", "t-1"]).ok();
    assert_eq!(home.run(&["wait", "t-1"]).code, 7);
    assert_eq!(home.run(&["tasks", "move", "t-1", "--priority", "low"]).code, 8);
    assert!(home.run(&["tasks", "retry", "t-1"]).ok().contains("pending"));
    let waited = home.run(&["wait", "t-1", "--timeout", "0s"]);
    assert_eq!(waited.code, 10, "{}", waited.stderr);
    assert!(waited.stderr.contains("still pending"), "{}", waited.stderr);
    home.run(&["cancel", "t-1"]).ok();
    home.run(&["tasks", "delete", "t-1"]).ok();
    for command in [
        &["tasks", "show", "t-1"][..],
        &["wait", "t-1"],
        &["tasks", "delete", "t-1"],
        &["tasks", "retry", "t-1"],
    ] {
        assert_eq!(home.run(command).code, 6, "{command:?}");
    }
    home.assert_no_process_is_left();
}

#[test]
fn tasks_are_listed_in_pages_and_trimmed() {
    let home = Home::new();
    for i in 0..5 {
        create(&home, &format!("t-{i}"), &["--enqueue", "--specialty", "backend"]);
    }
    create(&home, "held", &["--specialty", "frontend"]);
    for i in 0..3 {
        home.run(&["cancel", &format!("t-{i}")]).ok();
    }
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut arguments = vec!["tasks", "list", "--json", "--limit", "2"];
        arguments.extend(after.iter().flat_map(|after| ["--after", after]));
        let page = json(&home.run(&arguments));
        ids.extend(
            page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(ids, ["t-3", "t-4", "held", "t-2", "t-1", "t-0"]);
    let listed = home.run(&["tasks", "list", "--status", "cancelled", "--specialty", "backend"]).ok();
    assert!(listed.contains("t-0") && !listed.contains("t-3"), "{listed}");
    let refused = home.run(&["tasks", "list", "--specialty", "cooking"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("there is no specialty 'cooking'; there are"), "{}", refused.stderr);
    assert_eq!(home.run(&["tasks", "list", "--after", "x"]).code, 2);

    assert_eq!(home.run(&["tasks", "trim"]).code, 2, "it says what is to go");
    assert_eq!(json(&home.run(&["tasks", "trim", "--keep", "1", "--json"]))["removed"], 2);
    assert!(
        home.run(&["tasks", "trim", "--older-than", "0s", "--status", "failed"]).ok().starts_with("0 tasks")
    );
    assert!(home.run(&["tasks", "trim", "--older-than", "0s"]).ok().starts_with("1 tasks"));
}

#[test]
fn a_held_task_is_released_and_a_paused_specialty_says_why_it_waits() {
    let home = Home::new();
    create(&home, "t-1", &["--specialty", "backend"]);
    assert!(home.run(&["tasks", "release", "t-1"]).ok().contains("pending"));
    home.run(&["tasks", "release", "t-1"]).ok();
    home.run(&["pause", "api", "--reason", "new key", "--for", "2h"]).ok();
    let shown = home.run(&["status"]).ok();
    assert!(shown.contains("paused by") && shown.contains("new key"), "{shown}");
    assert!(home.run(&["tasks", "show", "t-1"]).ok().contains("its specialty is paused by"));
    assert!(home.run(&["resume", "backend"]).ok().contains("resumed"));
    assert!(home.run(&["resume", "backend"]).ok().contains("was not paused"));
    assert_eq!(home.run(&["pause", "cooking"]).code, 2);
    let unknown = home.run(&["drain", "nobody"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("no worker 'nobody' has been here within a day"), "{}", unknown.stderr);
    assert!(home.run(&["undrain", "nobody"]).ok().contains("was not drained"));
}

#[test]
fn events_tell_every_transition_in_the_order_of_time() {
    let home = Home::new();
    create(&home, "a", &["--enqueue", "--specialty", "backend"]);
    create(&home, "b", &["--enqueue", "--specialty", "frontend"]);
    home.run(&["cancel", "a"]).ok();
    let said = home.run(&["events", "--json"]).ok();
    let told: Vec<(String, String, String)> = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            (text("specialty"), text("event"), text("task"))
        })
        .collect();
    let expected = [("backend", "pending", "a"), ("frontend", "pending", "b"), ("backend", "cancelled", "a")];
    assert_eq!(told, expected.map(|(s, e, t)| (s.to_owned(), e.to_owned(), t.to_owned())));
    let one = home.run(&["events", "--task", "b", "--since", "1h"]).ok();
    assert!(one.lines().count() == 1 && one.contains("frontend pending b"), "{one}");
}
