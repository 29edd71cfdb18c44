//! What a user configures, and how they learn what is wrong with it.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use super::home::Home;

#[test]
fn config_show_names_the_source_of_each_value_and_masks_secrets() {
    let home = Home::new();
    home.write(".config/claude-cluster/config.toml", "[worker]\nmax_tasks = 7\n");
    let extra = home.write("extra.toml", "[github]\ntoken = \"ghp_secret\"\n");
    home.write(".env", "GIT_USER_NAME='A B'\n");
    let mut command = home.command(&["config", "show", "--config", extra.to_str().unwrap()]);
    command.env("CLAUDE_CLUSTER__QUEUE__BEAT_MS", "1000");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("worker.max_tasks").ends_with(".config/claude-cluster/config.toml"), "{text}");
    assert!(line("github.token").starts_with("github.token = ********  # "), "{text}");
    assert!(
        line("git.user_name").contains("\"A B\"") && line("git.user_name").ends_with("./.env: GIT_USER_NAME")
    );
    assert!(line("queue.beat_ms").ends_with("environment variable CLAUDE_CLUSTER__QUEUE__BEAT_MS"));
    assert!(!text.contains("ghp_secret"));
}

#[test]
fn a_configuration_that_is_wrong_ends_every_command_with_code_3() {
    let home = Home::new();
    home.write(".config/claude-cluster/config.toml", "[worker]\nmax_task = 7\n");
    for arguments in [&["status"][..], &["worker"], &["up"], &["config", "show"]] {
        let said = home.run(arguments);
        assert_eq!(said.code, 3, "{}", said.stderr);
        assert!(said.stderr.contains("did you mean 'worker.max_tasks'?"), "{}", said.stderr);
    }
    assert_eq!(Home::new().run(&["config", "show", "--config", "/nonexistent.toml"]).code, 3);
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_code_2() {
    let home = Home::new();
    let bad_id = home.run(&["logs", "a b"]);
    assert_eq!(bad_id.code, 2);
    assert!(bad_id.stderr.contains("a task id is 1 to 100 characters"), "{}", bad_id.stderr);
    assert_eq!(home.run(&["no-such-command"]).code, 2);
    let issue = home.write("issue.md", "# T\n");
    let issue = issue.to_str().unwrap();
    let bad_repository = home.run(&["create-task", "--repo", "nonsense", "--issue-file", issue]);
    assert_eq!(bad_repository.code, 2);
    assert!(bad_repository.stderr.contains("owner/name"), "{}", bad_repository.stderr);
    assert_eq!(home.run(&["create-task", "--repo", "a/b", "--issue-file", "absent.md"]).code, 2);
    let open = home.run(&["workflow", "--repo", "a/b", "--issue-file", issue, "--agent-command", "x 'y"]);
    assert_eq!(open.code, 2, "{}", open.stderr);
}

#[test]
fn setup_says_of_each_part_how_it_stands_and_fails_when_one_is_missing() {
    let home = Home::new();
    let agent = home.write("bin/my-agent", "#!/bin/sh\n");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let config = home.write(
        "agent.toml",
        &format!("[agent]\ndriver = \"command\"\ncommand = [\"{}\"]\n", agent.display()),
    );
    let config = config.to_str().unwrap();
    let checks: serde_json::Value =
        serde_json::from_str(&home.run(&["setup", "--json", "--config", config]).ok()).unwrap();
    let standing = |name: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        check["standing"].as_str().unwrap().to_owned()
    };
    for name in ["git", "redis", "agent", "state"] {
        assert_eq!(standing(name), "ok", "{checks}");
    }

    let mut bare = home.command(&["setup", "--config", config]);
    let output = bare.env("PATH", home.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("missing  git") && text.contains("apt-get install git"), "{text}");
    assert!(text.contains("missing  redis") && text.contains("apt-get install redis-server"), "{text}");
}

#[test]
fn an_output_that_nobody_reads_ends_the_command_quietly() {
    let home = Home::new();
    let mut command = home.command(&["config", "show"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
