//! What a working tree shows of its tests. The first that fits counts:
//! `Cargo.toml`, `package.json`, Python, `go.mod`, `Makefile`.

use std::{fs, path::Path};

use crate::bounded_read::read;

/// Test files of one directory that are looked into.
const TEST_FILES_MAX: usize = 200;

/// A way to run the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Has to be there for the command to run.
    pub program: &'static str,
    pub setup: Option<String>,
    pub command: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    Command(Found),
    /// Depends on whether pytest is installed.
    Python(Python),
}

/// Python tests and what they could be run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Python {
    reason: String,
    /// Set where every test file is of unittest's kind: its command.
    unittest: Option<String>,
}

impl Python {
    /// pytest runs tests of both kinds, so it is preferred; `None` where only it could run them.
    pub(super) fn choose(self, pytest: bool) -> Option<Found> {
        let (command, reason) = match (pytest, self.unittest) {
            (true, _) => ("python3 -m pytest -q".to_owned(), self.reason),
            (false, Some(command)) => (command, format!("{}, and pytest is not installed", self.reason)),
            (false, None) => return None,
        };
        Some(Found { program: "python3", setup: None, command, reason })
    }
}

pub(super) fn detect(tree: &Path) -> Option<Candidate> {
    let simple = |program, command: &str, reason: &str| {
        Candidate::Command(Found {
            program,
            setup: None,
            command: command.to_owned(),
            reason: reason.to_owned(),
        })
    };
    if is_file(tree, "Cargo.toml") {
        return Some(simple("cargo", "cargo test", "found Cargo.toml"));
    }
    if let Some(node) = node(tree) {
        return Some(Candidate::Command(node));
    }
    if let Some(python) = python(tree) {
        return Some(Candidate::Python(python));
    }
    if is_file(tree, "go.mod") {
        return Some(simple("go", "go test ./...", "found go.mod"));
    }
    let makefile = ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| read(&tree.join(name)));
    makefile
        .filter(|text| has_test_target(text))
        .map(|_| simple("make", "make test", "found a Makefile with a test target"))
}

fn has_test_target(makefile: &str) -> bool {
    makefile.lines().any(|line| {
        let targets =
            line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')).map(|(targets, _)| targets);
        !line.starts_with(['\t', '#', ' '])
            && targets.is_some_and(|t| t.split_whitespace().any(|name| name == "test"))
    })
}

/// A `test` script that somebody has written, not the one that `npm init` leaves behind.
fn node(tree: &Path) -> Option<Found> {
    let package: serde_json::Value = serde_json::from_str(&read(&tree.join("package.json"))?).ok()?;
    let script = package.pointer("/scripts/test")?.as_str()?;
    if script.trim().is_empty() || script.contains("no test specified") {
        return None;
    }
    let (program, install) = if is_file(tree, "pnpm-lock.yaml") {
        ("pnpm", "pnpm install")
    } else if is_file(tree, "yarn.lock") {
        ("yarn", "yarn install")
    } else {
        ("npm", "npm install --no-audit --no-fund")
    };
    let needs = |field: &str| {
        package.get(field).and_then(|deps| deps.as_object()).is_some_and(|deps| !deps.is_empty())
    };
    let setup = (needs("dependencies") || needs("devDependencies")).then(|| install.to_owned());
    let reason = "found package.json with a test script".to_owned();
    Some(Found { program, setup, command: format!("{program} test"), reason })
}

fn python(tree: &Path) -> Option<Python> {
    let sections =
        [("pyproject.toml", "[tool.pytest"), ("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")];
    let configured = is_file(tree, "pytest.ini")
        || is_file(tree, "conftest.py")
        || sections
            .iter()
            .any(|(file, section)| read(&tree.join(file)).is_some_and(|text| text.contains(section)));
    let dirs = [("tests", "-s tests"), ("test", "-s test"), ("", "")];
    let (dir, where_, files) = dirs
        .iter()
        .find_map(|(dir, where_)| {
            let files = test_files(&tree.join(dir));
            (!files.is_empty()).then_some((*dir, *where_, files))
        })
        .unwrap_or_default();
    if !configured && files.is_empty() {
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
    Some(Python { reason, unittest })
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

fn is_file(dir: &Path, name: &str) -> bool {
    fs::symlink_metadata(dir.join(name)).is_ok_and(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn command(files: &[(&str, &str)], pytest: bool) -> Option<String> {
        match detect(tree(files).path())? {
            Candidate::Command(found) => Some(found.command),
            Candidate::Python(python) => Some(python.choose(pytest)?.command),
        }
    }

    #[test]
    fn the_first_that_fits_counts() {
        let all = [("Cargo.toml", ""), ("package.json", r#"{"scripts":{"test":"jest"}}"#), ("go.mod", "")];
        assert_eq!(command(&all, true).as_deref(), Some("cargo test"));
        assert_eq!(command(&all[1..], true).as_deref(), Some("npm test"));
        assert_eq!(command(&all[2..], true).as_deref(), Some("go test ./..."));
        assert_eq!(command(&[("README.md", "")], true), None);
    }

    #[test]
    fn a_script_that_npm_init_left_behind_is_no_test() {
        let left = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(command(&[("package.json", left)], true), None);
        let real = r#"{"scripts":{"test":"node --test"},"devDependencies":{"x":"1"}}"#;
        let Some(Candidate::Command(found)) =
            detect(tree(&[("package.json", real), ("yarn.lock", "")]).path())
        else {
            panic!("there is a script");
        };
        assert_eq!((found.setup.as_deref(), found.command.as_str()), (Some("yarn install"), "yarn test"));
    }

    #[test]
    fn unittest_stands_in_for_pytest_only_where_it_can() {
        let unit = ("tests/test_a.py", "import unittest\n");
        let plain = ("tests/test_b.py", "def test_b(): pass\n");
        assert_eq!(command(&[unit], true).as_deref(), Some("python3 -m pytest -q"));
        assert_eq!(command(&[unit], false).as_deref(), Some("python3 -m unittest discover -s tests"));
        let package = [unit, ("tests/__init__.py", "")];
        assert_eq!(command(&package, false).as_deref(), Some("python3 -m unittest discover -s tests -t ."));
        assert_eq!(
            command(&[("test_a.py", "import unittest")], false).as_deref(),
            Some("python3 -m unittest discover")
        );
        assert_eq!(command(&[unit, plain], false), None);
        assert_eq!(
            command(&[("pyproject.toml", "[tool.pytest.ini_options]")], true).as_deref(),
            Some("python3 -m pytest -q")
        );
    }

    #[test]
    fn a_makefile_counts_when_it_has_a_test_target() {
        assert_eq!(
            command(&[("Makefile", "all:\n\ttrue\ncheck test: all\n\ttrue\n")], true).as_deref(),
            Some("make test")
        );
        assert_eq!(command(&[("Makefile", "test := x\n# test:\nall:\n\ttest: x\n")], true), None);
    }

    #[test]
    fn links_are_not_followed_and_pipes_not_waited_for() {
        let outside = tree(&[("test_x.py", "import unittest"), ("Makefile", "test:\n")]);
        let dir = tree(&[]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("tests")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("Makefile"), dir.path().join("Makefile")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("package.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(detect(dir.path()), None);
    }
}
