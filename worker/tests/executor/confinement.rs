//! What an agent can reach: nothing of ours.

use std::{fs, os::unix::net::UnixListener, sync::Arc};

use shared::{state_dir::StateDir, task_log::LogStream};
use worker::{executor::Executor, host::Host};

use crate::stage::{Stage, Started, supervisor};

const SECRETS: [&str; 4] = ["ghp_github-token-1", "webhook-secret-2", "redis-password-3", "sk-ant-api-key-4"];

fn with_secrets(mut stage: Stage) -> Stage {
    let [token, webhook, redis, key] = SECRETS;
    stage.config.github.token = token.into();
    stage.config.github.webhook_secret = webhook.into();
    stage.config.redis.password = redis.into();
    stage.config.agent.anthropic_api_key = key.into();
    stage
}

/// Looks for secrets wherever an agent may think of, and writes what it finds into the tree, unredacted.
const THIEF: &str = r#"
cat >/dev/null
echo 42 > answer
{
  env
  cat /proc/*/environ /proc/*/cmdline | tr '\0' '\n'
  git config --list --show-origin
  find / -xdev -maxdepth 6 -newer /etc/hostname -type f -size -64k -not -path '/proc/*' -not -path '/usr/*' -exec cat {} +
  cat "$STATE/webhook-secret" "$STATE/redis/redis.conf" /root/.ssh/* /root/.gitconfig /etc/shadow /etc/claude-cluster/*
  ls -la "$STATE" / /root /home/* /run /var/run
} > loot 2>&1
true
"#;

#[tokio::test]
async fn a_thief_finds_no_secret_in_environment_processes_files_or_configuration() {
    let stage = with_secrets(Stage::new());
    let private = stage.state();
    let stage = stage.agent(&format!("STATE={}\n{THIEF}", private.display()));
    fs::create_dir_all(private.join("redis")).unwrap();
    fs::write(private.join("webhook-secret"), SECRETS[1]).unwrap();
    fs::write(private.join("redis/redis.conf"), SECRETS[2]).unwrap();
    let _socket = UnixListener::bind(private.join("redis/redis.sock")).unwrap();

    let run = stage.run(stage.task("x")).await;
    let loot = stage.remote.read(run.branch(), "loot").unwrap();
    assert!(loot.contains("HOME="), "it did look");
    for secret in SECRETS {
        assert!(!loot.contains(secret), "{secret} in {loot}");
    }
    assert!(!loot.contains("redis.sock"), "{loot}");
}

#[tokio::test]
async fn secrets_that_reach_the_output_are_redacted_from_log_and_failure() {
    let script = format!(
        "echo 'token {}'; printf '{}'; sleep 0.1; echo '{}'; exit 1",
        SECRETS[0],
        &SECRETS[3][..6],
        &SECRETS[3][6..]
    );
    let stage = with_secrets(Stage::new()).agent(&script);
    let run = stage.run(stage.task("x")).await;
    assert_eq!(run.lines(LogStream::Agent), ["token [redacted]", "[redacted]"]);
    assert!(run.failure().message.contains("([redacted])"), "{run:#?}");
}

/// Wherever a text is cut, a secret that stands across the cut is gone as a whole.
#[tokio::test]
async fn no_half_of_a_secret_is_left_where_a_text_is_cut() {
    let secret = SECRETS[3];
    // Wherever it is cut, from either end, it is cut within a secret.
    let full = |bytes: usize| format!("xxxxx{}", secret.repeat(bytes / secret.len()));
    let said = |run: &crate::stage::Run| {
        let text = format!("{run:?}");
        let halves = (secret.len() / 3..=secret.len())
            .flat_map(|length| [&secret[..length], &secret[secret.len() - length..]].map(str::to_owned));
        let found: Vec<_> = halves.filter(|half| text.contains(half.as_str())).collect();
        assert!(found.is_empty(), "{found:?} in {text}");
    };

    // The end of a red run's output; a line of the tail, of the log, and one that is longer than any that is read.
    for bytes in [1_900, 3_000, 9_000, 70_000] {
        let line = full(bytes);
        let makefile = "test:\n\t@cat line; exit 1\n";
        let mut stage = with_secrets(Stage::with_files(&[("Makefile", makefile), ("line", &line)]))
            .agent("cat >/dev/null; echo x > other");
        stage.config.test.rounds_max = 1;
        let run = stage.run(stage.task("x")).await;
        assert!(run.failure().message.contains("tests still red"), "{run:#?}");
        said(&run);
    }
    // An answer, the last line of a program that gave up, and what a CLI complains of.
    for (bytes, end) in [(12_000, 0), (1_000, 1), (3_000, 1)] {
        let line = full(bytes);
        let stage = Stage::new();
        fs::write(stage.dir().join("line"), line).unwrap();
        fs::set_permissions(stage.dir().join("line"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        let mut stage = with_secrets(stage).agent(&format!("cat > /dev/null; cat \"$1\"; exit {end}"));
        stage.config.agent.command.push(stage.dir().join("line").display().to_string());
        let run = stage.run(stage.task("x")).await;
        said(&run);
        let mut claude = crate::claude::with_claude("cat \"$1\" >&2; exit 1", &[]);
        claude.config.agent.command.push(stage.config.agent.command[1].clone());
        let claude = with_secrets(claude);
        said(&claude.run(claude.task("x")).await);
    }
}

#[tokio::test]
async fn only_the_workspace_can_be_written() {
    let stage = Stage::new();
    let victim = stage.dir().join("victim");
    fs::write(&victim, "whole").unwrap();
    let mirrors = stage.state().join("mirrors");
    let script = format!(
        "cat >/dev/null; echo 42 > answer\n\
         objects=$(cat .git/objects/info/alternates)\n\
         for target in {victim} {mirrors}/x \"$objects/x\" \"$objects/../HEAD\" \"$objects/../hooks/x\" /usr/x /etc/x ../out/x ../x; do\n\
           (echo broken > \"$target\") 2>/dev/null && ls -d \"$target\" >> written\n\
         done\n\
         mount -o remount,rw / 2>/dev/null && echo remounted >> written\n\
         echo x > ~/x && echo x > /tmp/x && echo x > \"$TMPDIR/y\" && echo 'home and tmp' > allowed\n\
         true",
        victim = victim.display(),
        mirrors = mirrors.display(),
    );
    let stage = stage.agent(&script);
    let run = stage.run(stage.task("x")).await;
    assert_eq!(stage.remote.read(run.branch(), "allowed").unwrap(), "home and tmp\n");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "whole");
    let written = stage.remote.read(run.branch(), "written").unwrap_or_default();
    // A path that is not there inside may be made in the sandbox' own, private root.
    for outside in written.lines() {
        let real = std::path::Path::new(outside);
        assert!(!real.exists() || fs::read_to_string(real).unwrap() != "broken\n", "{outside}");
    }
    assert!(!written.contains("remounted"));
}

#[tokio::test]
async fn what_an_agent_plants_in_git_runs_nowhere_but_in_the_sandbox() {
    let stage = Stage::new();
    let trap = stage.dir().join("sprung");
    let script = format!(
        "cat >/dev/null; echo 42 > answer\n\
         printf '#!/bin/sh\\necho sprung >> {trap}\\ncat\\n' > \"$PWD/.git/trap\"; chmod +x .git/trap\n\
         mkdir -p .git/hooks; for hook in pre-commit commit-msg post-commit pre-push reference-transaction; do cp .git/trap .git/hooks/$hook; done\n\
         git config core.fsmonitor \"$PWD/.git/trap\"\n\
         git config filter.evil.clean \"$PWD/.git/trap\"; echo 'answer filter=evil' > .gitattributes\n\
         git config core.hooksPath .git/hooks; git config core.sshCommand \"$PWD/.git/trap\"\n\
         git config remote.origin.url 'ext::sh -c \"echo sprung >> {trap}\"'\n\
         git config uploadpack.packObjectsHook \"$PWD/.git/trap\"; git config core.pager \"$PWD/.git/trap\"\n\
         git config credential.helper \"!$PWD/.git/trap\"; git config gpg.program \"$PWD/.git/trap\"; git config commit.gpgsign true",
        trap = trap.display()
    );
    let stage = stage.agent(&script);
    let run = stage.run(stage.task("x")).await;
    run.branch();
    assert!(!trap.exists(), "{}", fs::read_to_string(&trap).unwrap());
}

#[tokio::test]
async fn tests_do_not_see_the_agents_credentials_nor_its_processes() {
    let makefile =
        "test:\n\t@grep -qx 42 answer\n\t@echo \"key=$$ANTHROPIC_API_KEY\"\n\t@ls -d /proc/[0-9]* | wc -l\n";
    let mut stage = with_secrets(Stage::with_files(&[("Makefile", makefile)]));
    stage.config.agent.driver = shared::config::Driver::Claude;
    let done = r#"{"type":"result","subtype":"success","is_error":false,"result":"key was there"}"#;
    let program = stage.program(
        "claude",
        &format!(
            "case $* in *--version) echo 9.9.9; exit;; esac\ncat >/dev/null\n\
             [ -n \"$ANTHROPIC_API_KEY\" ] && echo 42 > answer; echo '{done}'"
        ),
    );
    stage.config.agent.command = vec![program.display().to_string()];
    let run = stage.run(stage.task("x")).await;
    run.branch();
    assert!(run.lines(LogStream::Test).contains(&"key="));
}

#[tokio::test]
async fn without_network_nothing_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "cat >/dev/null; echo 42 > answer; bash -c 'echo > /dev/tcp/127.0.0.1/{port}' 2>/dev/null && echo x > reached; true"
    );
    for network in [true, false] {
        let mut stage = Stage::new().agent(&script);
        stage.config.sandbox.network = network;
        let run = stage.run(stage.task("x")).await;
        assert_eq!(stage.remote.read(run.branch(), "reached").is_ok(), network);
    }
}

#[tokio::test]
async fn the_machines_own_tools_can_be_used() {
    // Whoever runs this test has cargo; where it lies differs from machine to machine.
    let makefile =
        "test:\n\t@cargo --version\n\t@mkdir -p $$CARGO_HOME && touch $$CARGO_HOME/x && echo cache\n";
    let mut stage = Stage::with_files(&[("Makefile", makefile)]).agent("cat >/dev/null; echo 42 > answer");
    stage.config.sandbox.tool_paths = shared::config::Config::defaults().unwrap().sandbox.tool_paths;
    let certificates = stage.dir().join("certificates.pem");
    fs::write(&certificates, "certificates").unwrap();
    let environment = ["PATH", "HOME", "RUSTUP_HOME", "CARGO_HOME"]
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .chain([("SSL_CERT_FILE".into(), certificates.clone().into_os_string())]);
    let host = Host::new(supervisor(), environment);
    let makefile = format!("{makefile}\t@cat $$SSL_CERT_FILE\n");
    stage.remote.commit("main", &[("Makefile", &makefile)]).unwrap();
    let state_dir = StateDir::create(&stage.state()).unwrap();
    let executor = Arc::new(Executor::prepare(&stage.config, &state_dir, host).await.unwrap());
    let run = Started::new(&executor, stage.task("x")).end().await;
    run.branch();
    let told = run.lines(LogStream::Test);
    assert!(told.iter().any(|line| line.starts_with("cargo 1")), "{told:?}");
    assert!(told.contains(&"cache") && told.contains(&"certificates"), "{told:?}");
}
