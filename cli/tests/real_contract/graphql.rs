//! GitHub's GraphQL schema, which judges queries by the reference implementation of GraphQL.

use std::{env, process::Command};

use tempfile::TempDir;

/// Prints what is wrong with each query that it is given, a line each.
const JUDGE: &str = r"
const { default: validate } = await import(process.argv[2]);
for (const query of process.argv.slice(3)) {
  const problems = validate(query).map((problem) => problem.message);
  console.log(JSON.stringify(problems));
}
";

/// What is wrong with each of `queries`.
pub fn problems(queries: &[&str]) -> Vec<Vec<String>> {
    let given =
        |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run scripts/test --real"));
    let dir = TempDir::new().unwrap();
    let judge = dir.path().join("judge.mjs");
    std::fs::write(&judge, JUDGE).unwrap();
    let output = Command::new(given("CLAUDE_CLUSTER_TEST_NODE"))
        .arg(&judge)
        .arg(given("CLAUDE_CLUSTER_TEST_GRAPHQL"))
        .args(queries)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let judged: Vec<Vec<String>> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(judged.len(), queries.len(), "{said}");
    judged
}
