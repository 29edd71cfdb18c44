//! An issue on GitHub, named by its number.

use testkit::{GitRemote, TestGitHub, github::TOKEN};

use super::home::Home;

const AGENT: &str = "#!/bin/sh\ncat > /dev/null\necho 42 > answer\necho 'It is 42 now.'\n";

struct User {
    home: Home,
    github: TestGitHub,
}

impl User {
    async fn new() -> Self {
        let files = [("Makefile", "test:\n\tgrep -qx 42 answer\n"), ("answer", "41\n")];
        let github = TestGitHub::start(GitRemote::with_files(&files).unwrap()).await.unwrap();
        let home = Home::new();
        let agent = home.write("agent", AGENT);
        std::fs::set_permissions(agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Self { home, github }
    }

    /// Runs beside the server, which lives on this test's runtime.
    async fn workflow(&self, token: &str, more: &[&str]) -> std::process::Output {
        let mut command = self.home.command(&[&["workflow", "--repo", "octo/cat"], more].concat());
        command
            .env("GITHUB_TOKEN", token)
            .env("CLAUDE_CLUSTER__GITHUB__BASE_URL", self.github.api_url())
            .env("CLAUDE_CLUSTER__GITHUB__GIT_BASE_URL", self.github.git_url());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_named_by_its_number_becomes_a_pull_request_that_closes_it() {
    let user = User::new().await;
    let agent = user.home.path().join("agent").display().to_string();
    let output = user.workflow(TOKEN, &["--issue", "7", "--agent-command", &agent]).await;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    let pulls = user.github.state().pulls.clone();
    assert_eq!(pulls.len(), 1, "{text}");
    assert!(pulls[0].body.starts_with("Closes #7"), "{}", pulls[0].body);
    assert_eq!(user.github.remote().read(&pulls[0].head, "answer").unwrap(), "42\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_and_a_missing_one_are_configuration_errors_that_say_what_to_do() {
    let user = User::new().await;
    for token in ["ghp_wrong", ""] {
        let output = user.workflow(token, &["--issue", "7", "--agent-command", "true"]).await;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains("GITHUB_TOKEN"), "{stderr}");
        assert!(!stderr.contains("ghp_wrong"), "{stderr}");
    }
    let output = user.workflow(TOKEN, &[]).await;
    assert_eq!(output.status.code(), Some(2), "an issue has to be named");
}
