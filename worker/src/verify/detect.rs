//! What a working tree shows of its tests. The first that fits counts, in the order of [`detect`].

mod compiled;
mod node;
mod python;
mod scripted;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

pub(super) use self::python::{Python, Tools};
use crate::bounded_read::read;

/// Entries of the top directory among which a project file is looked for.
const ENTRIES_MAX: usize = 2_000;

/// A way to run the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Has to be there for the command to run.
    pub program: &'static str,
    /// Gets what the tests need; run before them.
    pub setup: Option<String>,
    pub command: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    Command(Found),
    /// Depends on which of Python's tools are installed.
    Python(Python),
}

/// `docs/agents.md` documents the order.
pub(super) fn detect(tree: &Path) -> Option<Candidate> {
    if let Some(found) = cargo(tree).or_else(|| node::node(tree)) {
        return Some(Candidate::Command(found));
    }
    if let Some(python) = python::python(tree) {
        return Some(Candidate::Python(python));
    }
    let detectors = [
        go,
        compiled::maven,
        compiled::gradle,
        scripted::ruby,
        scripted::composer,
        compiled::dotnet,
        compiled::cmake,
        make,
    ];
    detectors.into_iter().find_map(|detect| detect(tree)).map(Candidate::Command)
}

fn cargo(tree: &Path) -> Option<Found> {
    found_file(tree, &["Cargo.toml"])?;
    Some(Found {
        program: "cargo",
        setup: Some("cargo fetch".to_owned()),
        command: "cargo test".to_owned(),
        reason: "found Cargo.toml".to_owned(),
    })
}

fn go(tree: &Path) -> Option<Found> {
    found_file(tree, &["go.mod"])?;
    Some(Found {
        program: "go",
        setup: Some("go mod download".to_owned()),
        command: "go test ./...".to_owned(),
        reason: "found go.mod".to_owned(),
    })
}

fn make(tree: &Path) -> Option<Found> {
    let makefile = ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| read(&tree.join(name)))?;
    let target = ["test", "check"].into_iter().find(|target| has_target(&makefile, target))?;
    Some(Found {
        program: "make",
        setup: None,
        command: format!("make {target}"),
        reason: format!("found a Makefile with a {target} target"),
    })
}

fn has_target(makefile: &str, target: &str) -> bool {
    makefile.lines().any(|line| {
        let targets =
            line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')).map(|(targets, _)| targets);
        !line.starts_with(['\t', '#', ' '])
            && targets.is_some_and(|names| names.split_whitespace().any(|name| name == target))
    })
}

/// The first of `names` that is a file. Links could lead out of the workspace, so they do not count.
fn found_file<'n>(tree: &Path, names: &[&'n str]) -> Option<&'n str> {
    names.iter().find(|name| is_file(tree, name)).copied()
}

fn has_suffix(tree: &Path, suffixes: &[&str]) -> Option<String> {
    let entries = fs::read_dir(tree).ok()?.take(ENTRIES_MAX).flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.into_iter().find(|name| suffixes.iter().any(|end| name.ends_with(end)) && is_file(tree, name))
}

fn is_file(dir: &Path, name: &str) -> bool {
    fs::symlink_metadata(dir.join(name)).is_ok_and(|file| file.is_file())
}

fn is_dir(dir: &Path, name: &str) -> bool {
    fs::symlink_metadata(dir.join(name)).is_ok_and(|file| file.is_dir())
}

fn is_executable(dir: &Path, name: &str) -> bool {
    let metadata = fs::symlink_metadata(dir.join(name));
    metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o100 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    pub(super) fn found(tree: &Path, tools: Tools) -> Option<Found> {
        match detect(tree)? {
            Candidate::Command(found) => Some(found),
            Candidate::Python(python) => python.choose(tools),
        }
    }

    pub(super) fn command_with(files: &[(&str, &str)], tools: Tools) -> Option<String> {
        found(tree(files).path(), tools).map(|found| found.command)
    }

    pub(super) fn command(files: &[(&str, &str)]) -> Option<String> {
        command_with(files, Tools { pytest: true, ..Tools::default() })
    }

    #[test]
    fn the_first_that_fits_counts() {
        let all = [
            ("Cargo.toml", ""),
            ("package.json", r#"{"scripts":{"test":"jest"}}"#),
            ("pytest.ini", ""),
            ("go.mod", ""),
            ("pom.xml", ""),
            ("build.gradle", ""),
            (".rspec", ""),
            ("composer.json", r#"{"scripts":{"test":"x"}}"#),
            ("a.csproj", ""),
            ("CMakeLists.txt", "enable_testing()"),
            ("Makefile", "test:\n"),
        ];
        let expected = [
            "cargo test",
            "npm test",
            "python3 -m pytest -q",
            "go test ./...",
            "mvn --batch-mode test",
            "gradle --no-daemon --console=plain test",
            "rspec",
            "composer run-script test",
            "dotnet test",
            "ctest --test-dir \"$HOME/build\" --output-on-failure",
            "make test",
        ];
        for (first, expected) in expected.iter().enumerate() {
            assert_eq!(command(&all[first..]).as_deref(), Some(*expected));
        }
        assert_eq!(command(&[("README.md", "")]), None);
    }

    #[test]
    fn a_makefile_counts_when_it_has_a_target_for_tests() {
        let makefile = |text| command(&[("Makefile", text)]);
        assert_eq!(makefile("all:\n\ttrue\ncheck test: all\n\ttrue\n").as_deref(), Some("make test"));
        assert_eq!(makefile("check: all\n\ttrue\n").as_deref(), Some("make check"));
        assert_eq!(makefile("test := x\n# test:\nall:\n\ttest: x\n"), None);
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
