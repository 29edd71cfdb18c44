//! An issue on GitHub, named by its number.

use testkit::{
    GitRemote, TestGitHub,
    faults::Fault,
    github::{LOGIN, TOKEN},
};

use super::home::Home;

const AGENT: &str = "#!/bin/sh\ncat > /dev/null\necho 42 > answer\necho 'It is 42 now.'\n";

const SECRET: &str = "a secret of the webhook";
const HOOK: &str = "https://cluster.example.org/webhook/github";

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

    async fn workflow(&self, token: &str, more: &[&str]) -> std::process::Output {
        self.run(token, &[&["workflow", "--repo", "octo/cat"], more].concat()).await
    }

    /// `github ...`: the exit code and all that was said.
    async fn github(&self, action: &str, more: &[&str]) -> (Option<i32>, String) {
        let output = self.run(TOKEN, &[&["github", action, "--repo", "octo/cat"], more].concat()).await;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains(TOKEN) && !text.contains(SECRET), "{text}");
        (output.status.code(), text)
    }

    /// Runs beside the server, which lives on this test's runtime.
    async fn run(&self, token: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = self.home.command(arguments);
        command
            .env("GITHUB_TOKEN", token)
            .env("GITHUB_WEBHOOK_SECRET", SECRET)
            .env("CLAUDE_CLUSTER__GITHUB__WRITE_PAUSE_MS", "0")
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

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_installed_once_with_its_secret_and_pinged() {
    let user = User::new().await;
    let stale = serde_json::json!({
        "id": 7, "active": false, "events": ["push"], "config": {"url": format!("{HOOK}/"), "content_type": "form"}
    });
    let other = serde_json::json!({"id": 8, "active": true, "events": ["push"], "config": {"url": "https://ci.example.org"}});
    let mut twin = stale.clone();
    twin["id"] = 9.into();
    user.github.state().hooks = vec![stale, other.clone(), twin];
    for said in ["updated", "updated"] {
        let (code, text) = user.github("install-webhook", &["--url", HOOK]).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(said) && text.contains("ping: the ingester has answered"), "{text}");
    }
    let hooks = user.github.state().hooks.clone();
    assert_eq!((hooks.len(), &hooks[1]), (2, &other));
    let config = &hooks[0]["config"];
    assert_eq!((config["url"].as_str(), config["secret"].as_str()), (Some(HOOK), Some(SECRET)));
    assert_eq!((&hooks[0]["active"], config["content_type"].as_str()), (&true.into(), Some("json")));
    assert_eq!(hooks[0]["events"], serde_json::json!(["issues", "issue_comment"]));
    let (code, text) = user.github("check", &["--url", HOOK]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("warn") && !text.contains("fail"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_once_although_the_answer_is_lost() {
    for fault in [Fault::AnswerLost, Fault::Status(502), Fault::Closed] {
        let user = User::new().await;
        user.github.faults().add("POST /api/v3/repos/octo/cat/hooks", fault);
        let (code, text) = user.github("install-webhook", &["--url", HOOK]).await;
        assert_eq!((code, user.github.state().hooks.len()), (Some(0), 1), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_that_is_refused_is_an_error_that_says_where_to_look() {
    let user = User::new().await;
    user.github.state().ping_status = 401;
    let (code, text) = user.github("install-webhook", &["--url", HOOK]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("Invalid HTTP Response: 401") && text.contains("this secret"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_repository_on_github_is_told_with_what_to_do() {
    let user = User::new().await;
    let (code, text) = user.github("check", &[]).await;
    assert_eq!(code, Some(0), "{text}");
    for told in [
        &format!("acts as {LOGIN}"),
        "can be pushed to",
        "can be written",
        "none tells of issues",
        "install-webhook",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    user.github("install-webhook", &["--url", HOOK]).await;
    let hook = user.github.state().hooks[0]["id"].as_u64().unwrap();
    user.github.state().deliver(hook, "issues", 503);
    let (code, text) = user.github("check", &[]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("1 of the last 2 not received") && text.contains("redeliver"), "{text}");
    user.github.state().can_push = false;
    let (code, text) = user.github("check", &[]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("fail  repository") && text.contains("may not push"), "{text}");
    user.github.revoke_tokens();
    let (code, text) = user.github("check", &[]).await;
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("fail  account") && text.contains("GITHUB_TOKEN"), "{text}");
    let gone = user.run(TOKEN, &["github", "check", "--repo", "/srv/x.git"]).await;
    assert_eq!(gone.status.code(), Some(2));
}
