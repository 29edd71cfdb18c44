//! Maven, Gradle, .NET and CMake: languages whose tests are built first.

use std::path::Path;

use super::{Found, found_file, has_suffix, is_executable};
use crate::bounded_read::read;

/// `mvnw` brings its own Maven; what it needs of the machine is Java.
pub(super) fn maven(tree: &Path) -> Option<Found> {
    found_file(tree, &["pom.xml"])?;
    let (program, call) = if is_executable(tree, "mvnw") { ("java", "./mvnw") } else { ("mvn", "mvn") };
    Some(Found {
        program,
        setup: Some(format!("{call} --batch-mode --quiet -DskipTests test-compile")),
        command: format!("{call} --batch-mode test"),
        reason: "found pom.xml".to_owned(),
    })
}

pub(super) fn gradle(tree: &Path) -> Option<Found> {
    let files = ["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];
    let file = found_file(tree, &files)?;
    let (program, call) =
        if is_executable(tree, "gradlew") { ("java", "./gradlew") } else { ("gradle", "gradle") };
    // A daemon would outlive the command and be killed with the sandbox.
    Some(Found {
        program,
        setup: Some(format!("{call} --no-daemon --console=plain testClasses")),
        command: format!("{call} --no-daemon --console=plain test"),
        reason: format!("found {file}"),
    })
}

pub(super) fn dotnet(tree: &Path) -> Option<Found> {
    let file = has_suffix(tree, &[".sln", ".slnx", ".csproj", ".fsproj"])?;
    Some(Found {
        program: "dotnet",
        setup: Some("dotnet restore".to_owned()),
        command: "dotnet test".to_owned(),
        reason: format!("found {file}"),
    })
}

/// Built outside of the tree, so that nothing of it is published.
pub(super) fn cmake(tree: &Path) -> Option<Found> {
    let text = read(&tree.join("CMakeLists.txt"))?.to_ascii_lowercase();
    let has_tests = text.contains("enable_testing") || text.contains("include(ctest");
    if !has_tests {
        return None;
    }
    let build = "\"$HOME/build\"";
    Some(Found {
        program: "cmake",
        setup: Some(format!("cmake -S . -B {build} && cmake --build {build} --parallel")),
        command: format!("ctest --test-dir {build} --output-on-failure"),
        reason: "found CMakeLists.txt with tests".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::super::{
        python::Tools,
        tests::{command, found, tree},
    };

    #[test]
    fn a_wrapper_that_can_be_run_is_preferred() {
        let dir = tree(&[("pom.xml", "<project/>"), ("mvnw", "#!/bin/sh\n")]);
        let program = |dir: &std::path::Path| {
            let found = found(dir, Tools::default()).unwrap();
            (found.program, found.command)
        };
        assert_eq!(program(dir.path()), ("mvn", "mvn --batch-mode test".to_owned()));
        fs::set_permissions(dir.path().join("mvnw"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program(dir.path()), ("java", "./mvnw --batch-mode test".to_owned()));
        let gradle = tree(&[("build.gradle.kts", "")]);
        assert_eq!(program(gradle.path()).0, "gradle");
    }

    #[test]
    fn a_project_file_by_any_name_is_dotnets() {
        assert_eq!(command(&[("Shop.sln", "")]).as_deref(), Some("dotnet test"));
        assert_eq!(command(&[("Shop.Tests.csproj", "")]).as_deref(), Some("dotnet test"));
    }

    #[test]
    fn cmake_counts_where_it_has_tests() {
        assert_eq!(command(&[("CMakeLists.txt", "project(x)\n")]), None);
        let with_tests = [("CMakeLists.txt", "project(x)\nenable_testing()\n")];
        assert_eq!(
            command(&with_tests).as_deref(),
            Some("ctest --test-dir \"$HOME/build\" --output-on-failure")
        );
    }
}
