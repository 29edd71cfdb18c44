//! Running git outside of any sandbox: only on repositories that the worker itself has made.
//!
//! Nothing of the user's or the machine's git configuration applies, no hook runs, nobody is asked for a
//! password, and git dies with the run.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    path::Path,
    process::Command,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use shared::{Failure, FailureClass, config::Config};

use crate::{
    child::{self, Captured, Ending, Ends, Job, Nursery},
    host::Host,
};

/// Settings that no repository overrides. They do not reach the other end of a local push, so a remote's own
/// hooks run as they do over ssh.
const SETTINGS: [&str; 7] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "credential.helper=",
    "init.templateDir=",
];

/// Holds the token in the environment of the one git command that needs it, and is named by [`Access::setting`].
const TOKEN_VARIABLE: &str = "CLAUDE_CLUSTER_GIT_TOKEN";

/// What lets git in at a forge.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The token goes to URLs below this one and to no other, whatever redirects.
    pub base_url: String,
    pub token: SecretString,
}

impl Access {
    /// A helper that git asks for the credentials. The token itself stands in no argument, URL or file.
    fn setting(&self) -> String {
        let answer = format!("printf 'username=x-access-token\\npassword=%s\\n' \"${TOKEN_VARIABLE}\"");
        format!("credential.{}.helper=!f() {{ test \"$1\" != get || {answer}; }}; f", self.base_url)
    }
}

/// Git as the worker runs it.
#[derive(Clone)]
pub(crate) struct Git {
    nursery: Nursery,
    env: BTreeMap<OsString, OsString>,
    access: Option<Access>,
    timeout: Duration,
}

/// A git command that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("git cannot be run ({0})")]
    Start(#[from] io::Error),
    #[error("git {operation} ended with code {code}: {said}")]
    Failed { operation: String, code: i32, said: String },
    #[error("git {operation} said more than can be read")]
    TooMuch { operation: String },
    #[error("git {operation} took longer than git.timeout_ms and was killed")]
    OverTime { operation: String },
}

impl Git {
    pub(crate) fn new(config: &Config, host: &Host, nursery: Nursery) -> Self {
        let mut env = BTreeMap::new();
        let path = std::env::join_paths(host.search_path()).unwrap_or_default();
        env.insert("PATH".into(), path);
        let fixed = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"),
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oControlMaster=no -oControlPath=none"),
            ("LC_ALL", "C"),
        ];
        env.extend(fixed.map(|(name, value)| (name.into(), value.into())));
        // Proxies and certificate authorities; the agent that holds the keys for ssh remotes.
        let passed = config.sandbox.env_pass.iter().map(String::as_str).chain(["SSH_AUTH_SOCK"]);
        for name in passed {
            if let Some(value) = host.var(name) {
                env.insert(name.into(), value.to_owned());
            }
        }
        Self { nursery, env, access: None, timeout: Duration::from_millis(config.git.timeout_ms) }
    }

    /// The same, let in at a forge: for the one command that talks to it.
    pub(crate) fn with(&self, access: Option<&Access>) -> Self {
        Self { access: access.cloned(), ..self.clone() }
    }

    /// Runs `git ARGS` without any repository and returns what it printed.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, GitError> {
        self.start(None, args, &[]).await
    }

    /// Runs `git ARGS` on a bare repository. It is named, never searched for: above a broken one git would
    /// find whatever repository the state directory may lie in.
    pub(crate) async fn run_in<S: AsRef<OsStr>>(
        &self,
        repository: &Path,
        args: &[S],
    ) -> Result<String, GitError> {
        self.start(Some(repository), args, &[]).await
    }

    /// The same with `input` on standard input.
    pub(crate) async fn run_in_with<S: AsRef<OsStr>>(
        &self,
        repository: &Path,
        args: &[S],
        input: &[u8],
    ) -> Result<String, GitError> {
        self.start(Some(repository), args, input).await
    }

    async fn start<S: AsRef<OsStr>>(
        &self,
        repository: Option<&Path>,
        args: &[S],
        input: &[u8],
    ) -> Result<String, GitError> {
        let operation =
            args.first().map(|arg| arg.as_ref().to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = Command::new("git");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        if let Some(access) = &self.access {
            command.args(["-c", &access.setting()]);
        }
        if let Some(repository) = repository {
            command.arg("--git-dir").arg(repository);
        }
        command.args(args).env_clear().envs(&self.env).current_dir("/");
        if let Some(access) = &self.access {
            command.env(TOKEN_VARIABLE, access.token.expose_secret());
        }
        let job = Job { command, ends: Ends::Group };
        let captured = child::capture(&self.nursery, job, input, self.timeout).await?;
        match captured.ending {
            // Half an answer would be taken for a whole one.
            Ending::Exited(0) if captured.cut => Err(GitError::TooMuch { operation }),
            Ending::Exited(0) => Ok(captured.stdout),
            Ending::Exited(code) => Err(GitError::Failed { operation, code, said: said(&captured) }),
            Ending::OverTime | Ending::Silent => Err(GitError::OverTime { operation }),
        }
    }
}

/// Rejections of a push stand on standard output, everything else on standard error.
fn said(captured: &Captured) -> String {
    let rejected = captured.stdout.lines().filter(|line| line.starts_with('!'));
    rejected.chain([captured.stderr.text().as_str()]).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What git says (in the C locale) when trying again cannot help, and what to do then.
const FOR_GOOD: [(&str, &str); 14] = [
    ("does not appear to be a git repository", "check the path or URL"),
    ("not found", "check the path or URL"),
    ("does not exist", "check the path or URL"),
    ("not a git repository", "check the path or URL"),
    (
        "dubious ownership",
        "it belongs to another user: run the worker as that user, or serve it by ssh or http",
    ),
    ("could not read Username", "it does not exist or needs credentials that the worker does not have"),
    ("Authentication failed", "the credentials are not accepted"),
    ("returned error: 403", "the credentials do not give the right to do this"),
    (
        "without `workflow` scope",
        "the change touches .github/workflows, which the token may not: give it the right to write workflows",
    ),
    ("rule violations", "the remote refuses this branch: look at its rules"),
    ("Permission denied", "the worker's user lacks the right or the key"),
    ("Host key verification failed", "add the server's key to known_hosts of the worker's user"),
    ("hook declined", "the remote refuses this branch: look at its hooks and branch rules"),
    ("protected branch", "the remote refuses this branch: look at its branch rules"),
];

impl GitError {
    /// The failure of `doing`, such as "cannot fetch from X": transient unless git says what no retry mends.
    pub(crate) fn into_failure(self, doing: &str) -> Failure {
        let remedy = match &self {
            Self::Failed { said, .. } => FOR_GOOD.iter().find(|(text, _)| said.contains(text)),
            Self::Start(_) | Self::TooMuch { .. } | Self::OverTime { .. } => None,
        };
        match remedy {
            Some((_, remedy)) => {
                Failure::new(FailureClass::Configuration, format!("{doing}: {remedy} ({self})"))
            }
            None => Failure::transient(format!("{doing}: {self}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_has_the_proxies_that_are_let_through_and_nothing_else_of_the_environment() {
        let lent = ["HTTPS_PROXY", "no_proxy", "GITHUB_TOKEN"].map(|name| (name.into(), "lent".into()));
        let host = Host::new("/bin/true".into(), lent);
        let mut config = Config::defaults().unwrap();
        let has = |config: &Config, name: &str| {
            Git::new(config, &host, Nursery::default()).env.contains_key(OsStr::new(name))
        };
        assert!(has(&config, "HTTPS_PROXY") && has(&config, "no_proxy") && !has(&config, "GITHUB_TOKEN"));
        config.sandbox.env_pass.clear();
        assert!(!has(&config, "HTTPS_PROXY") && !has(&config, "no_proxy"));
    }

    #[test]
    fn what_no_retry_mends_is_told_from_what_one_may() {
        let failed =
            |said: &str| GitError::Failed { operation: "fetch".into(), code: 128, said: said.into() };
        let class = |said| failed(said).into_failure("cannot fetch").class;
        assert_eq!(class("fatal: '/x' does not appear to be a git repository"), FailureClass::Configuration);
        assert_eq!(class("fatal: unable to access: Could not resolve host: x"), FailureClass::Transient);
        assert_eq!(class("!\tx\t[rejected] (stale info)"), FailureClass::Transient);
        assert_eq!(class("!\tx\t[remote rejected] (pre-receive hook declined)"), FailureClass::Configuration);
    }
}
