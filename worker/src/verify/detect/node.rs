//! JavaScript and TypeScript: the `test` script of `package.json`, by the package manager that the repository uses.

use std::path::Path;

use super::{Found, is_file};
use crate::bounded_read::read;

/// A `test` script that somebody has written, not the one that `npm init` leaves behind.
pub(super) fn node(tree: &Path) -> Option<Found> {
    let package: serde_json::Value = serde_json::from_str(&read(&tree.join("package.json"))?).ok()?;
    let script = package.pointer("/scripts/test")?.as_str()?;
    if script.trim().is_empty() || script.contains("no test specified") {
        return None;
    }
    let named = package.get("packageManager").and_then(|name| name.as_str()).unwrap_or_default();
    let program = manager(tree, named.split('@').next().unwrap_or_default());
    let needs = |field: &str| {
        package.get(field).and_then(|deps| deps.as_object()).is_some_and(|deps| !deps.is_empty())
    };
    let install = match program {
        "npm" => "npm install --no-audit --no-fund",
        "pnpm" => "pnpm install",
        "yarn" => "yarn install",
        _ => "bun install",
    };
    let setup = (needs("dependencies") || needs("devDependencies")).then(|| install.to_owned());
    // `bun test` is bun's own runner and would pass the script over.
    let command = if program == "bun" { "bun run test".to_owned() } else { format!("{program} test") };
    Some(Found { program, setup, command, reason: "found package.json with a test script".to_owned() })
}

/// The manager that `packageManager` names, else the one whose lock file there is, else npm.
fn manager(tree: &Path, named: &str) -> &'static str {
    const LOCKS: [(&str, &str); 5] = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("bun.lock", "bun"),
        ("bun.lockb", "bun"),
        ("package-lock.json", "npm"),
    ];
    let by_name = LOCKS.iter().find(|(_, manager)| *manager == named);
    let found = by_name.or_else(|| LOCKS.iter().find(|(lock, _)| is_file(tree, lock)));
    found.map_or("npm", |(_, manager)| manager)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{command, found, tree};

    #[test]
    fn a_script_that_npm_init_left_behind_is_no_test() {
        let left = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(command(&[("package.json", left)]), None);
    }

    #[test]
    fn the_package_manager_is_the_repositorys_own() {
        let package = r#"{"scripts":{"test":"node --test"},"devDependencies":{"x":"1"}}"#;
        for (lock, setup, command) in [
            ("yarn.lock", "yarn install", "yarn test"),
            ("pnpm-lock.yaml", "pnpm install", "pnpm test"),
            ("bun.lock", "bun install", "bun run test"),
            ("package-lock.json", "npm install --no-audit --no-fund", "npm test"),
        ] {
            let found = found(
                tree(&[("package.json", package), (lock, "")]).path(),
                super::super::python::Tools::default(),
            )
            .unwrap();
            assert_eq!((found.setup.as_deref(), found.command.as_str()), (Some(setup), command));
        }
        let named = r#"{"scripts":{"test":"x"},"packageManager":"pnpm@9.1.0"}"#;
        assert_eq!(command(&[("package.json", named), ("yarn.lock", "")]).as_deref(), Some("pnpm test"));
    }
}
