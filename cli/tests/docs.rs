//! What documents and manifests say is so.
#![cfg(test)]

use std::{fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_guarantee_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let named: Vec<(&str, &str)> = text.split('`').filter_map(|word| word.split_once(".rs::")).collect();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Guarantee")).count();
    assert!(named.len() >= rows && rows > 20, "{} tests for {rows} guarantees", named.len());
    for (file, test) in named {
        let source = fs::read_to_string(root().join(format!("{file}.rs")))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}

/// The features that `shared` has in the program, as cargo resolves them with these kinds of dependencies.
fn features(edges: &str) -> String {
    let tree = ["tree", "--locked", "--offline", "--package", "cli", "--edges", edges];
    let output = Command::new(env!("CARGO")).args(tree).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn only_tests_have_crash_points() {
    let feature = "shared feature \"crash-points\"";
    assert!(features("features").contains(feature), "development dependencies ask for it");
    assert!(!features("features,no-dev").contains(feature), "nothing else does");
    let program = fs::read(env!("CARGO_BIN_EXE_claude-cluster")).unwrap();
    let name = b"CLAUDE_CLUSTER_CRASH_POINT";
    assert!(program.windows(name.len()).any(|bytes| bytes == name), "the tests' own program has them");
}
