//! The example runs as its text says, and the README shows it.
#![cfg(test)]

use std::process::Command;

use testkit::RedisServer;

#[test]
fn the_example_runs_against_a_real_server_and_leaves_no_task() {
    let redis = RedisServer::start().unwrap();
    // Beside the tests, where cargo puts examples when it builds them.
    let deps = std::env::current_exe().unwrap();
    let example = deps.parent().unwrap().parent().unwrap().join("examples/queue");
    let output = Command::new(&example).arg(redis.url()).env_clear().output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for line in ["first: Created", "second: cancelled", "first: Done by process-1", "third: completed"] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    let left: Vec<String> = redis.command(&["KEYS", "example:{backend}:task:*"]).unwrap();
    assert!(left.is_empty(), "{left:?}");
    let refused = Command::new(&example).env_clear().output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("say where Redis is"));
}

#[test]
fn what_the_readme_shows_is_the_example() {
    let (readme, example) = (include_str!("../README.md"), include_str!("../examples/queue.rs"));
    let blocks: Vec<&str> =
        readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        assert!(example.contains(block), "not in the example:\n{block}");
    }
}
