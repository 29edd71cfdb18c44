//! Python: pytest where it is configured or installed, tox where the repository says so, else unittest.

use std::{fs, path::Path};

use super::{Found, is_file};
use crate::bounded_read::read;

/// Test files of one directory that are looked into.
const TEST_FILES_MAX: usize = 200;

/// Lists of dependencies that tests may need, as `pip install -r` takes them.
const REQUIREMENTS: [&str; 6] = [
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-test.txt",
    "requirements_dev.txt",
    "test-requirements.txt",
    "dev-requirements.txt",
];

/// The environment that dependencies are installed into; it sees what the machine has installed as well.
const VENV: &str = "\"$HOME/venv\"";
const VENV_PYTHON: &str = "\"$HOME/venv/bin/python\"";

/// What of Python's tools runs in the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::verify) struct Tools {
    pub pytest: bool,
    pub tox: bool,
    /// Virtual environments can be made.
    pub venv: bool,
}

/// Python tests and what they could be run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) struct Python {
    reason: String,
    /// Whether pytest is configured or test files were found; else there is only tox.
    tests: bool,
    tox: bool,
    /// Arguments of `pip install` for what the repository says it needs; empty where it says nothing.
    needs: String,
    /// Set where every test file is of unittest's kind: its command.
    unittest: Option<String>,
}

impl Python {
    /// pytest runs tests of both kinds, so it is preferred; `None` where what is needed is not there.
    pub(in crate::verify) fn choose(self, tools: Tools) -> Option<Found> {
        let found = |setup, command: &str, reason| {
            Some(Found { program: "python3", setup, command: command.to_owned(), reason })
        };
        if self.tests && tools.venv && !self.needs.is_empty() {
            let setup = format!(
                "python3 -m venv --system-site-packages {VENV} && \
                 {VENV_PYTHON} -m pip install --quiet --disable-pip-version-check {} pytest",
                self.needs
            );
            return found(Some(setup), &format!("{VENV_PYTHON} -m pytest -q"), self.reason);
        }
        if self.tests && tools.pytest {
            return found(None, "python3 -m pytest -q", self.reason);
        }
        if self.tox && tools.tox {
            return found(None, "tox", "found tox's configuration".to_owned());
        }
        let unittest = self.unittest?;
        found(None, &unittest, format!("{}, and pytest is not installed", self.reason))
    }
}

pub(super) fn python(tree: &Path) -> Option<Python> {
    let has_section =
        |file: &str, section: &str| read(&tree.join(file)).is_some_and(|text| text.contains(section));
    let sections =
        [("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")];
    let configured = is_file(tree, "pytest.ini")
        || is_file(tree, "conftest.py")
        || sections.iter().any(|(file, section)| has_section(file, section));
    let tox = has_section("tox.ini", "[testenv") || has_section("pyproject.toml", "[tool.tox");
    let dirs = [("tests", "-s tests"), ("test", "-s test"), ("", "")];
    let (dir, where_, files) = dirs
        .iter()
        .find_map(|(dir, where_)| {
            let files = test_files(&tree.join(dir));
            (!files.is_empty()).then_some((*dir, *where_, files))
        })
        .unwrap_or_default();
    let tests = configured || !files.is_empty();
    if !tests && !tox {
        return None;
    }
    let reason = match (configured, dir) {
        (true, _) => "found pytest's configuration".to_owned(),
        (false, "") => "found test_*.py".to_owned(),
        (false, dir) => format!("found {dir}/test_*.py"),
    };
    let for_unittest = |text: &String| text.contains("unittest") && !text.contains("import pytest");
    let unittest = (!files.is_empty() && files.iter().all(for_unittest)).then(|| {
        // A package is imported from the top, other files from where they lie.
        let top = if !dir.is_empty() && is_file(&tree.join(dir), "__init__.py") { " -t ." } else { "" };
        format!("python3 -m unittest discover {where_}{top}").trim_end().to_owned()
    });
    Some(Python { reason, tests, tox, needs: needs(tree), unittest })
}

/// What `pip install` has to be told, in the order of the files.
fn needs(tree: &Path) -> String {
    let mut needs: Vec<String> =
        REQUIREMENTS.iter().filter(|name| is_file(tree, name)).map(|name| format!("-r {name}")).collect();
    let project = read(&tree.join("pyproject.toml")).unwrap_or_default();
    if project.contains("[project]") && project.contains("[build-system]") {
        let extras = ["test", "tests", "testing", "dev"];
        let extra = project.split_once("[project.optional-dependencies]").and_then(|(_, rest)| {
            extras.into_iter().find(|name| {
                rest.lines().take_while(|line| !line.starts_with('[')).any(|line| {
                    line.split_once('=').is_some_and(|(key, _)| key.trim().trim_matches('"') == *name)
                })
            })
        });
        needs.push(extra.map_or_else(|| "-e .".to_owned(), |extra| format!("-e '.[{extra}]'")));
    }
    needs.join(" ")
}

/// Contents of the `test_*.py` and `*_test.py` in `dir`; those that cannot be read count as empty.
fn test_files(dir: &Path) -> Vec<String> {
    // A link could lead out of the workspace.
    if !fs::symlink_metadata(dir).is_ok_and(|dir| dir.is_dir()) {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".py"));
        stem.is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
    });
    named
        .take(TEST_FILES_MAX)
        .map(|entry| {
            let unittest_finds = entry.file_name().as_encoded_bytes().starts_with(b"test");
            if unittest_finds { read(&entry.path()).unwrap_or_default() } else { String::new() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{command_with, found, tree},
        *,
    };

    const ALL: Tools = Tools { pytest: true, tox: true, venv: true };
    const NONE: Tools = Tools { pytest: false, tox: false, venv: false };

    #[test]
    fn unittest_stands_in_for_pytest_only_where_it_can() {
        let unit = ("tests/test_a.py", "import unittest\n");
        let plain = ("tests/test_b.py", "def test_b(): pass\n");
        assert_eq!(command_with(&[unit], ALL).as_deref(), Some("python3 -m pytest -q"));
        assert_eq!(command_with(&[unit], NONE).as_deref(), Some("python3 -m unittest discover -s tests"));
        let package = [unit, ("tests/__init__.py", "")];
        let from_top = Some("python3 -m unittest discover -s tests -t .");
        assert_eq!(command_with(&package, NONE).as_deref(), from_top);
        let at_top = [("test_a.py", "import unittest")];
        assert_eq!(command_with(&at_top, NONE).as_deref(), Some("python3 -m unittest discover"));
        assert_eq!(command_with(&[unit, plain], NONE), None);
        let configured = [("pyproject.toml", "[tool.pytest.ini_options]")];
        assert_eq!(command_with(&configured, ALL).as_deref(), Some("python3 -m pytest -q"));
    }

    #[test]
    fn tox_runs_where_only_it_can() {
        let tox = ("tox.ini", "[tox]\nenvlist = py3\n[testenv]\ncommands = pytest\n");
        assert_eq!(command_with(&[tox], ALL).as_deref(), Some("tox"));
        assert_eq!(command_with(&[tox], NONE), None);
        let tests = [tox, ("tests/test_a.py", "def test_a(): pass\n")];
        assert_eq!(command_with(&tests, ALL).as_deref(), Some("python3 -m pytest -q"));
        assert_eq!(command_with(&tests, Tools { tox: true, ..NONE }).as_deref(), Some("tox"));
    }

    #[test]
    fn what_the_repository_says_it_needs_is_installed_beside_what_the_machine_has() {
        let project = "[build-system]\nrequires = []\n[project]\nname = \"x\"\n\
                       [project.optional-dependencies]\ndocs = []\ndev = []\n[tool.pytest.ini_options]\n";
        let files = tree(&[("pyproject.toml", project), ("requirements.txt", "six")]);
        let found = found(files.path(), ALL).unwrap();
        let setup = found.setup.unwrap();
        assert!(
            setup.ends_with(
                "pip install --quiet --disable-pip-version-check -r requirements.txt -e '.[dev]' pytest"
            ),
            "{setup}"
        );
        assert_eq!(found.command, "\"$HOME/venv/bin/python\" -m pytest -q");
        let without = [("requirements.txt", "six"), ("tests/test_a.py", "def test_a(): pass\n")];
        assert_eq!(
            command_with(&without, Tools { venv: false, ..ALL }).as_deref(),
            Some("python3 -m pytest -q")
        );
    }
}
