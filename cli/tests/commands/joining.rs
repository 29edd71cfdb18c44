//! The line for a spare PC, run by a shell there.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use super::home::Home;

#[test]
fn the_printed_line_gives_another_pc_this_clusters_redis() {
    let here = Home::new();
    let ca = "-----BEGIN CERTIFICATE-----\nTWFu\n-----END CERTIFICATE-----\n";
    let ca_file = here.write("ca.pem", ca);
    let mut command = here.command(&["join-command", "--specialties", "backend,testing"]);
    command
        .env("REDIS_URL", "redis://redis:6379/0")
        .env("REDIS_PASSWORD", r"it's \n 100% $(secret)")
        .env("CLAUDE_CLUSTER__REDIS__JOIN_URL", "rediss://10.0.0.7:6380/0")
        .env("CLAUDE_CLUSTER__REDIS__CA_FILE", &ca_file)
        .env("CLAUDE_CLUSTER__QUEUE__LEASE_MS", "20000");
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");

    // A program of that name which says how it was called, in the place of a worker that would go on.
    let there = Home::new();
    let stub = there.write("bin/claude-cluster", "#!/bin/sh\necho \"$@\"\n");
    fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", stub.parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).env_clear().env("HOME", there.path()).env("PATH", path);
    let called = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let file = there.path().join(".config/claude-cluster/join.toml");
    assert_eq!(called, format!("worker --config {} --specialties backend,testing\n", file.display()));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let written: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(written["redis"]["url"].as_str(), Some("rediss://10.0.0.7:6380/0"));
    assert_eq!(written["redis"]["password"].as_str(), Some(r"it's \n 100% $(secret)"));
    assert_eq!(written["redis"]["ca"].as_str(), Some(ca.trim_end()));
    assert_eq!(written["queue"]["lease_ms"].as_integer(), Some(20_000));
    assert_eq!(there.run(&["config", "show", "--config", file.to_str().unwrap()]).code, 0);
}

#[test]
fn a_redis_that_no_other_machine_reaches_is_refused_with_what_to_do() {
    let home = Home::new();
    let private = home.run(&["join-command"]);
    assert_eq!(private.code, 3);
    assert!(private.stderr.contains("docker compose --profile lan"), "{}", private.stderr);
    let mut command = home.command(&["join-command", "--url", "redis://10.0.0.7:6379"]);
    let inside = command.env("REDIS_URL", "redis://:secret@127.0.0.1:6379").output().unwrap();
    assert_eq!(inside.status.code(), Some(3), "the password would be missing");
    assert!(!String::from_utf8_lossy(&inside.stderr).contains("secret@"));
}

#[test]
fn the_line_for_a_redis_behind_sentinels_names_them_and_what_goes_with_them() {
    let home = Home::new();
    let mut command = home.command(&["join-command"]);
    command
        .env("CLAUDE_CLUSTER__REDIS__SENTINELS", "s1.lan,s2.lan:26380")
        .env("CLAUDE_CLUSTER__REDIS__SERVICE", "mymaster")
        .env("CLAUDE_CLUSTER__REDIS__SENTINEL_PASSWORD", "watch me")
        .env("CLAUDE_CLUSTER__REDIS__USER", "worker")
        .env("REDIS_PASSWORD", "secret");
    let line = String::from_utf8(command.output().unwrap().stdout).unwrap();
    for part in [
        r#"sentinels = ["s1.lan", "s2.lan:26380"]"#,
        r#"service = "mymaster""#,
        r#"sentinel_password = "watch me""#,
        r#"user = "worker""#,
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    command.env("CLAUDE_CLUSTER__REDIS__SENTINELS", "127.0.0.1");
    assert_eq!(command.output().unwrap().status.code(), Some(3), "no other machine reaches it");
}
