//! The repository's tests: what is fetched for them, what was red before, and what counts as passed.

use shared::{Outcome, outcome::TestsSummary};
use worker::run::RunEnd;

use crate::stage::{Run, Stage};

/// Fetches something into a package manager's cache, and makes a mess of the tree.
const SETTINGS: &str = "[test]\n\
    setup = \"mkdir -p ~/.cache; echo fetched >> ~/.cache/log; echo mess > mess; echo 0 > answer\"\n\
    command = \"true\"\n";

fn tests(run: &Run) -> &TestsSummary {
    let RunEnd::Finished(Outcome::Branch { tests, .. }) = &run.end else { panic!("{run:#?}") };
    tests
}

#[tokio::test]
async fn the_setup_runs_before_the_agent_and_leaves_nothing_in_the_tree() {
    let script = "cat >/dev/null; git status --porcelain > status; cat ~/.cache/log > log; cat answer > was";
    let stage = Stage::with_files(&[(".claude-cluster.toml", SETTINGS), ("answer", "41\n")]).agent(script);
    let run = stage.run(stage.task("x")).await;
    let published = |file| stage.remote.read(run.branch(), file).unwrap();
    assert_eq!((published("log").as_str(), published("was").as_str()), ("fetched\n", "41\n"));
    assert_eq!(published("status"), "?? status\n", "the agent starts from a clean tree");
    assert!(stage.remote.read(run.branch(), "mess").is_err());
}

#[tokio::test]
async fn what_the_setup_fetched_is_there_in_the_next_task_and_what_an_agent_left_is_not() {
    let settings = "[test]\nsetup = \"mkdir -p ~/.npm; echo fetched >> ~/.npm/log\"\ncommand = \"true\"\n";
    let script = "cat >/dev/null; cat ~/.npm/log > log; ls ~/.npm > names; echo poison > ~/.npm/poison";
    let stage = Stage::with_files(&[(".claude-cluster.toml", settings)]).agent(script);
    let first = stage.run(stage.task("one")).await;
    let second = stage.run(stage.task("two")).await;
    let published = |run: &Run, file| stage.remote.read(run.branch(), file).unwrap();
    assert_eq!(published(&first, "log"), "fetched\n");
    assert_eq!(published(&second, "log"), "fetched\nfetched\n");
    assert_eq!(published(&second, "names"), "log\n");
}

#[tokio::test]
async fn tests_that_were_red_before_are_told_apart_from_those_that_the_change_broke() {
    let settings = "[test]\ncommand = \"cat failing; test ! -s failing\"\nbaseline = true\n";
    let files = [(".claude-cluster.toml", settings), ("failing", "FAILED test_old in 0.3s\n")];
    let stage = Stage::with_files(&files).agent("cat > prompt; echo 'FAILED test_old in 12s' > failing");
    let run = stage.run(stage.task("x")).await;
    let command = "cat failing; test ! -s failing".to_owned();
    assert_eq!(*tests(&run), TestsSummary::Failed { command, as_before: true });
    let prompt = stage.remote.read(run.branch(), "prompt").unwrap();
    assert!(prompt.contains("fail on the branch already") && prompt.contains("FAILED test_old"), "{prompt}");

    let stage = Stage::with_files(&files).agent("cat >/dev/null; echo 'FAILED test_new in 0.3s' >> failing");
    let failure = stage.run(stage.task("x")).await.failure().message.clone();
    assert!(failure.contains("still red") && failure.contains("test_new"), "{failure}");
}

#[tokio::test]
async fn a_runner_that_finds_nothing_has_not_passed() {
    for (files, script) in [
        (&[("Makefile", "test:\n\t@echo No tests found\n")][..], "cat >/dev/null; echo x > x"),
        (&[("tests/test_a.py", "import unittest\n")][..], "cat >/dev/null; echo x > x"),
    ] {
        let stage = Stage::with_files(files).agent(script);
        assert_eq!(*tests(&stage.run(stage.task("x")).await), TestsSummary::NoneFound, "{files:?}");
    }
}

#[tokio::test]
async fn the_number_of_tests_is_told_where_the_runner_says_it() {
    let test =
        "import unittest\nclass T(unittest.TestCase):\n  def test_a(self): pass\n  def test_b(self): pass\n";
    let settings = "[test]\ncommand = \"python3 -m unittest discover -s tests\"\n";
    let files = [("tests/test_a.py", test), (".claude-cluster.toml", settings)];
    let stage = Stage::with_files(&files).agent("cat >/dev/null; echo x > x");
    let run = stage.run(stage.task("x")).await;
    let command = "python3 -m unittest discover -s tests".to_owned();
    assert_eq!(*tests(&run), TestsSummary::Passed { command, count: Some(2) });
}

#[tokio::test]
async fn tests_without_network_have_a_network_namespace_of_their_own() {
    // The agent notes its own; the tests must not share it.
    let settings = "[test]\ncommand = \"test \\\"$(cat ns)\\\" != \\\"$(readlink /proc/self/ns/net)\\\"\"\n";
    let script = "cat >/dev/null; readlink /proc/self/ns/net > ns; test ! -e x; date +%N > x";
    let mut stage = Stage::with_files(&[(".claude-cluster.toml", settings)]).agent(script);
    stage.config.test.network = false;
    assert!(matches!(tests(&stage.run(stage.task("x")).await), TestsSummary::Passed { .. }));
    stage.config.test.network = true;
    assert!(stage.run(stage.task("y")).await.failure().message.contains("still red"));
}

#[tokio::test]
async fn the_repositorys_own_guidance_reaches_the_agent_from_the_base_branch() {
    let files = [("AGENTS.md", "Use tabs.\n"), ("Makefile", "test:\n\ttrue\n")];
    let stage = Stage::with_files(&files).agent("cat > prompt");
    let run = stage.run(stage.task("x")).await;
    let prompt = stage.remote.read(run.branch(), "prompt").unwrap();
    assert!(prompt.contains("AGENTS.md") && prompt.contains("Use tabs."), "{prompt}");
}
