//! Small projects of the kinds that are detected, run as they are: green with the right answer, red with a wrong one.
//! Kinds whose tools are not on this machine say so and are left out; those that every developer of this program has
//! are not.

use std::{path::Path, sync::Arc};

use shared::{Outcome, outcome::TestsSummary, state_dir::StateDir, task_log::LogStream};
use worker::{executor::Executor, host::Host, run::RunEnd};

use crate::stage::{Run, Stage, Started, supervisor};

/// A project whose tests are green where `answer` says 42.
struct Kind {
    /// All of them have to be there.
    tools: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    /// How the tests are called, in part.
    command: &'static str,
    /// How many the runner says have passed.
    count: Option<u32>,
    answer: &'static str,
}

const CARGO: Kind = Kind {
    tools: &["cargo"],
    files: &[
        ("Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
        (
            "src/lib.rs",
            "#[test]\nfn answer() { assert_eq!(include_str!(\"../answer\"), \"42\\n\"); }\n\
             #[test]\nfn other() {}\n",
        ),
    ],
    command: "cargo test",
    count: Some(2),
    answer: "answer",
};

const NPM: Kind = Kind {
    tools: &["npm", "node"],
    files: &[
        ("package.json", r#"{"name":"small","version":"1.0.0","scripts":{"test":"node --test"}}"#),
        (
            "answer.test.js",
            "const { test } = require('node:test'); const assert = require('node:assert');\n\
             test('answer', () => assert.strictEqual(require('fs').readFileSync('answer', 'utf8'), '42\\n'));\n",
        ),
    ],
    command: "npm test",
    count: Some(1),
    answer: "answer",
};

const UNITTEST: Kind = Kind {
    tools: &["python3"],
    files: &[(
        "tests/test_answer.py",
        "import unittest\nclass Answer(unittest.TestCase):\n    def test_it(self):\n        \
         self.assertEqual(open('answer').read(), '42\\n')\n",
    )],
    // pytest runs it where that is installed.
    command: "python3 -m",
    count: Some(1),
    answer: "answer",
};

const PYTEST: Kind = Kind {
    tools: &["python3", "pytest"],
    files: &[
        ("pytest.ini", "[pytest]\n"),
        ("tests/test_answer.py", "def test_answer():\n    assert open('answer').read() == '42\\n'\n"),
    ],
    command: "python3 -m pytest",
    count: Some(1),
    answer: "answer",
};

const MAKE: Kind = Kind {
    tools: &["make"],
    files: &[("Makefile", "check:\n\t@grep -qx 42 answer\n")],
    command: "make check",
    count: None,
    answer: "answer",
};

const GO: Kind = Kind {
    tools: &["go"],
    files: &[
        ("go.mod", "module example.com/small\n\ngo 1.18\n"),
        (
            "answer_test.go",
            "package small\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestAnswer(t *testing.T) {\n\
             \ttext, _ := os.ReadFile(\"answer\")\n\tif string(text) != \"42\\n\" {\n\t\tt.Fail()\n\t}\n}\n",
        ),
    ],
    command: "go test",
    count: None,
    answer: "answer",
};

const CMAKE: Kind = Kind {
    tools: &["cmake", "ctest", "cc"],
    files: &[(
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.13)\nproject(small NONE)\nenable_testing()\n\
         add_test(NAME answer COMMAND grep -qx 42 ${CMAKE_SOURCE_DIR}/answer)\n",
    )],
    command: "ctest",
    count: None,
    answer: "answer",
};

#[tokio::test]
async fn a_cargo_project_is_tested() {
    always(&CARGO).await;
}

#[tokio::test]
async fn a_make_project_is_tested() {
    always(&MAKE).await;
}

#[tokio::test]
async fn a_python_project_with_unittest_is_tested() {
    always(&UNITTEST).await;
}

#[tokio::test]
async fn an_npm_project_is_tested() {
    where_installed(&NPM).await;
}

#[tokio::test]
async fn a_python_project_with_pytest_is_tested() {
    where_installed(&PYTEST).await;
}

#[tokio::test]
async fn a_go_project_is_tested() {
    where_installed(&GO).await;
}

#[tokio::test]
async fn a_cmake_project_is_tested() {
    where_installed(&CMAKE).await;
}

async fn always(kind: &Kind) {
    assert_eq!(missing(kind), None, "scripts/test asks for it");
    check(kind).await;
}

async fn where_installed(kind: &Kind) {
    match missing(kind) {
        Some(tool) => eprintln!("left out: {tool} is not installed"),
        None => check(kind).await,
    }
}

/// A tool of the kind that is not on this machine.
fn missing(kind: &Kind) -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    kind.tools.iter().copied().find(|tool| !has(tool))
}

async fn check(kind: &Kind) {
    let green = run(kind, "42").await;
    let RunEnd::Finished(Outcome::Branch { tests, .. }) = &green.end else { panic!("{green:#?}") };
    let TestsSummary::Passed { command, count } = tests else { panic!("{tests:?}: {green:#?}") };
    assert!(command.contains(kind.command), "{command}");
    assert_eq!(*count, kind.count, "{:#?}", green.lines(LogStream::Test));
    let red = run(kind, "43").await;
    assert!(red.failure().message.contains("tests still red"), "{:?}", red.end);
}

/// An agent that writes `answer`, on this machine as whoever runs the tests has it.
async fn run(kind: &Kind, answer: &str) -> Run {
    let files: Vec<_> = kind.files.iter().copied().chain([(kind.answer, "41\n")]).collect();
    let mut stage = Stage::with_files(&files).agent(&format!("cat >/dev/null; echo {answer} > answer"));
    stage.config.sandbox.tool_paths = shared::config::Config::defaults().unwrap().sandbox.tool_paths;
    stage.config.test.rounds_max = 1;
    let known = ["PATH", "HOME", "RUSTUP_HOME", "CARGO_HOME"];
    let environment = known.into_iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let host = Host::new(supervisor(), environment);
    let state_dir = StateDir::create(Path::new(&stage.state())).unwrap();
    let executor = Arc::new(Executor::prepare(&stage.config, &state_dir, host).await.unwrap());
    Started::new(&executor, stage.task("x")).end().await
}
