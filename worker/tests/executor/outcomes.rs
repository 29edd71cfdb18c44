//! What a run ends in.

use shared::{FailureClass, Outcome, outcome::TestsSummary, task_log::LogStream};
use worker::run::{Phase, RunEnd};

use crate::stage::{MAKEFILE, Stage};

#[tokio::test]
async fn a_green_change_becomes_a_branch_with_title_body_and_trailers() {
    let stage = Stage::new().agent("cat > /dev/null; echo 42 > answer; echo 'all done'");
    let mut spec = stage.task("Correct the answer");
    spec.issue = Some(7);
    spec.body = "It must be 42.".to_owned();
    let id = spec.id.clone();
    let run = stage.run(spec).await;

    let RunEnd::Finished(Outcome::Branch { branch, commit, tests }) = &run.end else { panic!("{run:#?}") };
    assert_eq!(branch, "claude/issue-7-correct-the-answer");
    assert_eq!(*tests, TestsSummary::Passed { command: "make test".to_owned(), count: None });
    assert_eq!(stage.remote.git(&["rev-parse", branch]).unwrap(), *commit);
    assert_eq!(stage.remote.read(branch, "answer").unwrap(), "42\n");
    let message = stage.remote.git(&["log", "-1", "--format=%an <%ae>%n%B", branch]).unwrap();
    assert_eq!(
        message,
        format!(
            "Claude Code Cluster <claude-cluster@localhost>\nCorrect the answer\n\nIt must be 42.\n\n\
             Closes #7\n\nTask: {id}\nWorker: pc-1"
        )
    );
    let phases =
        [Phase::Preparing, Phase::Agent { round: 1 }, Phase::Testing { round: 1 }, Phase::Publishing];
    assert_eq!(run.phases(), phases);
    assert!(run.lines(LogStream::Agent).contains(&"all done"));
    assert!(run.lines(LogStream::Test).contains(&"checking"));
    assert_eq!(run.lines(LogStream::Engine).iter().filter(|line| line.contains(" took ")).count(), 4);
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn red_tests_go_back_to_the_agent_until_they_are_green() {
    let script = "prompt=$(cat)\n\
                  case $prompt in *'Command: make test'*) echo 42 > answer;; *) echo 43 > answer;; esac";
    let stage = Stage::new().agent(script);
    let run = stage.run(stage.task("x")).await;
    assert_eq!(stage.remote.read(run.branch(), "answer").unwrap(), "42\n");
    assert!(run.phases().contains(&Phase::Testing { round: 2 }));
    assert!(!run.phases().contains(&Phase::Agent { round: 3 }));
}

#[tokio::test]
async fn tests_that_stay_red_fail_the_task_and_nothing_is_published() {
    // Another failure in each round: one that comes again ends the rounds.
    let makefile = "test:\n\t@cat answer; grep -qx 42 answer\n";
    let stage = Stage::with_files(&[("Makefile", makefile), ("answer", "x\n")]);
    let stage = stage.agent("cat >/dev/null; echo x$(cat answer) > answer");
    let run = stage.run(stage.task("x")).await;
    let failure = run.failure();
    assert_eq!(failure.class, FailureClass::Task);
    let told = ["after 3 rounds, no round is left", "nothing was published"];
    assert!(told.iter().all(|part| failure.message.contains(part)), "{}", failure.message);
    assert_eq!((stage.remote.branches().unwrap(), failure.branch.as_ref()), (vec!["main".to_owned()], None));
    assert!(stage.workspaces().is_empty());
}

#[tokio::test]
async fn a_round_that_changes_nothing_more_is_the_last() {
    let stage = Stage::new().agent("cat >/dev/null; echo 43 > answer");
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("changed nothing more"));
    assert_eq!(run.phases().iter().filter(|phase| matches!(phase, Phase::Agent { .. })).count(), 2);
}

#[tokio::test]
async fn a_round_after_which_the_tests_fail_in_the_same_way_is_the_last() {
    let stage = Stage::new().agent("cat >/dev/null; echo x >> answer");
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("after 2 rounds, the tests fail in the same way as before"));
}

#[tokio::test]
async fn no_change_gives_the_agents_answer() {
    // A commit that is taken back again is no change either.
    let script = "cat >/dev/null; echo 42 > answer; git commit -qam one; git revert -n HEAD; git commit -qm two\n\
                  echo 'Nothing needs to be done.'";
    let stage = Stage::new().agent(script);
    let run = stage.run(stage.task("x")).await;
    let RunEnd::Finished(Outcome::NoChange { answer }) = &run.end else { panic!("{run:#?}") };
    assert!(answer.ends_with("Nothing needs to be done."));
    assert_eq!(stage.remote.branches().unwrap(), ["main"]);
}

#[tokio::test]
async fn the_agents_own_commits_are_kept_below_the_engines() {
    let script = "cat >/dev/null; echo 42 > answer; git commit -qam 'my own'; echo more > more";
    let stage = Stage::new().agent(script);
    let run = stage.run(stage.task("Engine's title")).await;
    let log = stage.remote.git(&["log", "--format=%s", run.branch()]).unwrap();
    assert_eq!(log, "Engine's title\nmy own\nfiles");
}

#[tokio::test]
async fn what_was_tested_is_published_and_not_what_the_tests_left_behind() {
    let makefile = format!("{MAKEFILE}\t@echo junk > junk; echo 0 > answer\n");
    let stage = Stage::with_files(&[("Makefile", &makefile)])
        .agent("cat >/dev/null; echo 42 > answer; mkdir __pycache__; touch __pycache__/x.pyc");
    let run = stage.run(stage.task("x")).await;
    let files = stage.remote.git(&["ls-tree", "-r", "--name-only", run.branch()]).unwrap();
    assert_eq!(files, "Makefile\nanswer");
    assert_eq!(stage.remote.read(run.branch(), "answer").unwrap(), "42\n");
}

#[tokio::test]
async fn no_tests_are_never_called_passed() {
    let stage = Stage::with_files(&[("README", "x\n")]).agent("cat >/dev/null; echo y > README");
    let run = stage.run(stage.task("x")).await;
    let RunEnd::Finished(Outcome::Branch { tests, .. }) = &run.end else { panic!("{run:#?}") };
    assert_eq!(*tests, TestsSummary::NoneFound);
}

#[tokio::test]
async fn the_base_branchs_own_settings_name_the_tests_and_no_change_alters_them() {
    let settings = "[test]\nsetup = \"echo 42 > expected\"\ncommand = \"cmp answer expected\"\n";
    let script =
        "cat >/dev/null; echo 42 > answer; printf '[test]\\ncommand = \"true\"\\n' > .claude-cluster.toml";
    let stage =
        Stage::with_files(&[(".claude-cluster.toml", settings), ("Makefile", MAKEFILE)]).agent(script);
    let run = stage.run(stage.task("x")).await;
    let RunEnd::Finished(Outcome::Branch { tests, .. }) = &run.end else { panic!("{run:#?}") };
    assert_eq!(*tests, TestsSummary::Passed { command: "cmp answer expected".to_owned(), count: None });
}

#[tokio::test]
async fn tests_that_cannot_run_here_stop_the_run_before_the_agent_is_paid() {
    let settings = "[test]\ncommand = \"no-such-tool --test\"\n";
    for (files, told) in [
        (&[("go.mod", "module x\n")][..], "go is missing"),
        (&[(".claude-cluster.toml", "[test]\ncomand = \"x\"\n")], "comand"),
        (&[(".claude-cluster.toml", settings)], "no-such-tool"),
    ] {
        let mut stage = Stage::with_files(files).agent("cat >/dev/null; echo y > README");
        stage.config.sandbox.tool_paths.clear();
        let run = stage.run(stage.task("x")).await;
        assert_eq!(run.failure().class, FailureClass::Configuration, "{run:#?}");
        assert!(run.failure().message.contains(told), "{run:#?}");
    }
}

#[tokio::test]
async fn failing_agents_are_told_apart() {
    for (script, class, told) in [
        ("echo 'out of ideas' >&2; exit 3", FailureClass::Task, "code 3 (out of ideas)"),
        ("exec /no/such/program", FailureClass::Configuration, "cannot be run"),
        ("rm -rf .git", FailureClass::Task, "cannot commit"),
    ] {
        let stage = Stage::new().agent(script);
        let run = stage.run(stage.task("x")).await;
        assert_eq!(run.failure().class, class, "{script}: {run:#?}");
        assert!(run.failure().message.contains(told), "{script}: {run:#?}");
    }
}

#[tokio::test]
async fn repositories_that_cannot_be_used_say_what_to_do() {
    let stage = Stage::new().agent("true");
    let executor = stage.executor().await;
    let empty = testkit::GitRemote::empty().unwrap();
    let plain = stage.dir().join("plain");
    std::fs::create_dir(&plain).unwrap();
    for (repository, told) in [
        (stage.dir().join("missing").display().to_string(), "check the path"),
        (plain.display().to_string(), "check the path"),
        (empty.path().display().to_string(), "push a first commit"),
        ("octo/cat".to_owned(), "[[repository]]"),
    ] {
        let mut spec = stage.task("x");
        spec.repository = repository.parse().unwrap();
        let run = crate::stage::Started::new(&executor, spec).end().await;
        assert_eq!(run.failure().class, FailureClass::Configuration, "{run:#?}");
        assert!(run.failure().message.contains(told), "{run:#?}");
    }
    let mut spec = stage.task("x");
    spec.repository = "http://127.0.0.1:1/x.git".parse().unwrap();
    let run = crate::stage::Started::new(&executor, spec).end().await;
    assert_eq!(run.failure().class, FailureClass::Transient, "{run:#?}");
}

#[tokio::test]
async fn a_missing_agent_program_is_told_before_any_run() {
    let mut stage = Stage::new();
    stage.config.agent.command = vec!["/no/such/agent".to_owned()];
    let failure = stage.try_executor().await.err().unwrap();
    assert_eq!(failure.class, FailureClass::Configuration);
    assert!(failure.message.contains("/no/such/agent"));
}
