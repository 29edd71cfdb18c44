//! The documents name things that exist.
#![cfg(test)]

use std::{fs, path::Path};

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
