//! The private redis-server, seen from outside.

use std::{fs, os::unix::fs::PermissionsExt};

use nix::sys::signal::Signal;

use super::home::{Home, eventually, parent_of};

fn create(home: &Home) -> String {
    let issue = home.write("issue.md", "# T\n");
    let arguments = ["create-task", "--repo", "octo/cat", "--issue-file", issue.to_str().unwrap()];
    home.run(&arguments).ok().trim().to_owned()
}

/// An ingester that owns the server; a port of its own.
fn ingester(home: &Home) -> super::home::Running {
    let ingester = home.start(&["ingest", "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
    ingester.wait_for("webhooks: http://127.0.0.1:");
    ingester
}

#[test]
fn reading_where_nothing_ever_ran_says_so_and_starts_nothing() {
    let home = Home::new();
    for arguments in [&["status"][..], &["agents"], &["logs", "x"]] {
        let said = home.run(arguments);
        assert_eq!(said.code, 5, "{}", said.stderr);
        assert!(said.stderr.contains("has never run"), "{}", said.stderr);
    }
    assert!(!home.redis_dir().join("appendonlydir").exists());
}

#[test]
fn a_machine_without_redis_server_is_told_what_to_install() {
    let home = Home::new();
    let issue = home.write("issue.md", "# T\n");
    let mut command =
        home.command(&["create-task", "--repo", "o/n", "--issue-file", issue.to_str().unwrap()]);
    let output = command.env("PATH", home.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{stderr}");
    assert!(stderr.contains("apt-get install redis-server"), "{stderr}");
    let old = home.write("redis-server", "#!/bin/sh\necho 'Redis server v=5.0.3 sha=0 malloc=x bits=64'\n");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("5.0.3"));
}

#[test]
fn the_server_ends_with_an_owner_that_is_told_to_stop() {
    let home = Home::new();
    let mut owner = ingester(&home);
    let id = create(&home);
    owner.signal(Signal::SIGTERM);
    assert_eq!(owner.code(), 0, "{}", owner.output());
    home.assert_no_process_is_left();
    assert!(home.run(&["status", "--task-id", &id]).ok().contains("held"), "what was written is still there");
}

#[test]
fn the_server_ends_with_an_owner_that_is_killed_and_the_next_command_recovers() {
    let home = Home::new();
    let mut owner = ingester(&home);
    let id = create(&home);
    owner.signal(Signal::SIGKILL);
    assert_eq!(owner.code(), -1);
    assert!(home.run(&["status", "--task-id", &id]).ok().contains("held"));
    home.assert_no_process_is_left();
}

#[test]
fn when_the_owner_is_killed_another_process_that_serves_takes_over() {
    let home = Home::new();
    let mut owner = ingester(&home);
    let mut heir = ingester(&home);
    let id = create(&home);
    owner.signal(Signal::SIGKILL);
    owner.code();
    let heir_pid = i32::try_from(heir.child.id()).unwrap();
    // At once, while the former server is still going.
    assert!(home.run(&["status", "--task-id", &id]).ok().contains("held"));
    eventually("the heir has a server of its own", || {
        home.processes().into_iter().any(|pid| parent_of(pid) == Some(heir_pid))
    });
    assert!(home.run(&["status", "--task-id", &id]).ok().contains("held"));
    heir.signal(Signal::SIGTERM);
    assert_eq!(heir.code(), 0, "{}", heir.output());
    home.assert_no_process_is_left();
}

#[test]
fn the_state_directory_is_its_users_alone() {
    let home = Home::new();
    create(&home);
    let state = home.redis_dir().parent().unwrap().to_owned();
    assert_eq!(fs::metadata(state).unwrap().permissions().mode() & 0o777, 0o700);
}
