//! Ruby and PHP.

use std::path::Path;

use super::{Found, found_file, is_dir, is_executable, is_file};
use crate::bounded_read::read;

/// RSpec where there are specs, else Rails' or Rake's tests.
pub(super) fn ruby(tree: &Path) -> Option<Found> {
    let bundled = is_file(tree, "Gemfile");
    let rakefile = || read(&tree.join("Rakefile")).unwrap_or_default();
    let (command, reason) = if is_file(tree, ".rspec") || (bundled && is_dir(tree, "spec")) {
        ("rspec", "found RSpec's specs")
    } else if bundled && is_dir(tree, "test") && is_executable(tree, "bin/rails") {
        ("rails test", "found the tests of a Rails application")
    } else if rakefile().contains("TestTask") || (bundled && rakefile().contains("task :test")) {
        ("rake test", "found a Rakefile with a test task")
    } else {
        return None;
    };
    let (program, setup, command) = if bundled {
        ("bundle", Some("bundle install --quiet".to_owned()), format!("bundle exec {command}"))
    } else {
        (if command == "rspec" { "rspec" } else { "rake" }, None, command.to_owned())
    };
    Some(Found { program, setup, command, reason: reason.to_owned() })
}

/// The `test` script of `composer.json`, else PHPUnit where it is configured.
pub(super) fn composer(tree: &Path) -> Option<Found> {
    let package: serde_json::Value = serde_json::from_str(&read(&tree.join("composer.json"))?).ok()?;
    let (command, reason) = if package.pointer("/scripts/test").is_some() {
        ("composer run-script test", "found composer.json with a test script".to_owned())
    } else {
        let file = found_file(tree, &["phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml"])?;
        ("vendor/bin/phpunit", format!("found composer.json and {file}"))
    };
    Some(Found {
        program: "composer",
        setup: Some("composer install --no-interaction --no-progress --quiet".to_owned()),
        command: command.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::command;

    #[test]
    fn ruby_tests_run_by_what_the_repository_has() {
        let gems = ("Gemfile", "");
        assert_eq!(command(&[gems, ("spec/a_spec.rb", "")]).as_deref(), Some("bundle exec rspec"));
        assert_eq!(command(&[(".rspec", "")]).as_deref(), Some("rspec"));
        let rake = ("Rakefile", "require 'rake/testtask'\nRake::TestTask.new\n");
        assert_eq!(command(&[gems, rake]).as_deref(), Some("bundle exec rake test"));
        assert_eq!(command(&[rake]).as_deref(), Some("rake test"));
        assert_eq!(command(&[gems]), None);
    }

    #[test]
    fn php_tests_are_a_script_or_phpunits() {
        let script = ("composer.json", r#"{"scripts":{"test":"pest"}}"#);
        assert_eq!(command(&[script]).as_deref(), Some("composer run-script test"));
        let plain = ("composer.json", "{}");
        assert_eq!(command(&[plain, ("phpunit.xml.dist", "")]).as_deref(), Some("vendor/bin/phpunit"));
        assert_eq!(command(&[plain]), None);
    }
}
