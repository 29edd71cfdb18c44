//! The layers of the configuration, as a user meets them: files, `.env`, environment, flags.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use secrecy::ExposeSecret;
use shared::config::{ConfigFile, Driver, Loaded, Override, Sources, load};
use tempfile::TempDir;

/// A directory with files of settings, in the order in which they were written.
struct Layers {
    dir: TempDir,
    sources: Sources,
}

impl Layers {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.write(name, text);
        self.sources.files.push(ConfigFile { path, required: true });
        self
    }

    fn dotenv(mut self, text: &str) -> Self {
        self.sources.dotenv = Some(self.write(".env", text));
        self
    }

    fn env(mut self, pairs: &[(&str, &str)]) -> Self {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.sources.environment = owned.collect::<HashMap<_, _>>();
        self
    }

    fn flag(mut self, flag: Override) -> Self {
        self.sources.overrides.push(flag);
        self
    }

    fn load(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(&self) -> String {
        load(&self.sources).expect_err("this configuration must be refused").to_string()
    }
}

fn origin(loaded: &Loaded, key: &str) -> String {
    loaded.settings.iter().find(|setting| setting.key == key).unwrap().origin.clone()
}

#[test]
fn each_layer_wins_over_the_one_before_it_and_says_so() {
    let mut layers = Layers::new().file("system.toml", "[log]\nlevel = \"error\"\n[worker]\nmax_tasks = 3\n");
    assert_eq!(layers.load().config.log.level, "error");
    assert_eq!(layers.load().config.worker.drain_ms, 600_000, "what nobody set keeps its default");
    layers = layers.file("user.toml", "[log]\nlevel = \"warn\"\n");
    assert_eq!(layers.load().config.log.level, "warn");
    layers = layers.dotenv("LOG_LEVEL=debug\n");
    assert_eq!(layers.load().config.log.level, "debug");
    assert!(origin(&layers.load(), "log.level").ends_with(".env: LOG_LEVEL"));
    layers = layers.env(&[("LOG_LEVEL", "trace")]);
    assert_eq!(layers.load().config.log.level, "trace");
    layers = layers.env(&[("LOG_LEVEL", "trace"), ("CLAUDE_CLUSTER__LOG__LEVEL", "info,worker=debug")]);
    assert_eq!(layers.load().config.log.level, "info,worker=debug");
    layers = layers.flag(Override::text("--log-level", "log.level", "off"));
    let loaded = layers.load();
    assert_eq!(loaded.config.log.level, "off");
    assert_eq!(origin(&loaded, "log.level"), "--log-level");
    assert!(origin(&loaded, "worker.max_tasks").ends_with("system.toml"));
    assert_eq!(origin(&loaded, "worker.drain_ms"), "built-in default");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_valid_one() {
    let in_file = |text| Layers::new().file("mine.toml", text).refused();
    for (text, key, nearest) in [
        ("[worker]\nmax_task = 1", "'worker.max_task'", "'worker.max_tasks'"),
        ("max_tasks = 1", "'max_tasks'", "'worker.max_tasks'"),
        ("[workers]\nmax_tasks = 1", "'workers'", "'worker'"),
        ("[redis]\nuri = \"\"", "'redis.uri'", "'redis.url'"),
        (
            "[[repository]]\nmatch = \"a/b\"\nbranch = \"x\"",
            "'repository[0].branch'",
            "'repository[0].base_branch'",
        ),
    ] {
        let message = in_file(text);
        assert!(message.contains("mine.toml"), "{message}");
        assert!(message.contains(key) && message.contains(nearest), "{message}");
    }
    let message = Layers::new().env(&[("CLAUDE_CLUSTER__REDIS__URLS", "x")]).refused();
    assert!(message.contains("CLAUDE_CLUSTER__REDIS__URLS") && message.contains("'redis.url'"), "{message}");
}

#[test]
fn a_bad_value_is_refused_with_its_place_and_what_would_fit() {
    for (text, parts) in [
        ("[worker]\nmax_tasks = \"two\"", ["worker.max_tasks", "whole number"]),
        ("[worker]\nmax_tasks = -1", ["worker.max_tasks", "not negative"]),
        ("[worker]\nmax_tasks = 0", ["worker.max_tasks", "between 1 and 64"]),
        ("[worker]\nmax_tasks = 5000000000", ["worker.max_tasks", "mine.toml"]),
        ("[worker]\nnode_id = \"../x\"", ["worker.node_id", "A-Z"]),
        ("[worker]\nspecialties = []", ["worker.specialties", "all"]),
        ("[worker]\nspecialties = [\"Back End\"]", ["worker.specialties", "Back End"]),
        ("[queue]\nlease_ms = 10000", ["queue.lease_ms", "twice queue.beat_ms"]),
        ("[agent]\ndriver = \"claud\"", ["agent.driver", "did you mean \"claude\"?"]),
        ("[agent]\ndriver = \"command\"", ["agent.driver", "agent.command"]),
        (
            "[agent]\ndriver = \"codex\"\nallowed_tools = [\"x\"]",
            ["agent.allowed_tools", "claude and gemini"],
        ),
        (
            "[agent.specialty.backend]\nmodle = \"x\"",
            ["agent.specialty.backend.modle", "specialty.backend.model"],
        ),
        (
            "[agent.specialty.backend]\nmax_turns = \"x\"",
            ["agent.specialty.backend.max_turns", "whole number"],
        ),
        (
            "[agent.specialty.backend]\nopenai_api_key = \"x\"",
            ["specialty.backend.openai_api_key", "did you mean 'agent.openai_api_key'?"],
        ),
        (
            "[agent.specialty.backend]\ndriver = \"command\"",
            ["specialty.backend.driver", "specialty.backend.command"],
        ),
        ("[agent.specialty.\"Back End\"]\nmodel = \"x\"", ["Back End", "not a specialty"]),
        ("[agent]\nspecialty = \"backend\"", ["agent.specialty", "[agent.specialty.<name>]"]),
        ("[agent]\nmax_budget_usd = nan", ["agent.max_budget_usd", "0 for no limit"]),
        (
            "[agent]\ndocker_socket = \"/run/docker.sock\"",
            ["agent.docker_socket", "[agent.specialty.<name>]"],
        ),
        (
            "[agent.specialty.devops]\ndocker_socket = \"docker.sock\"",
            ["agent.specialty.devops.docker_socket", "absolute"],
        ),
        ("[agent]\nbudget_usd_per_day = -1", ["agent.budget_usd_per_day", "0 for no limit"]),
        ("[agent]\naccount = \"a{b}\"", ["agent.account", "without braces"]),
        ("[ingest]\nlisten = \"localhost\"", ["ingest.listen", "invalid"]),
        ("[sandbox]\nnetwork = \"yes\"", ["sandbox.network", "true or false"]),
        ("[log]\nlevel = \"loud\"", ["log.level", "'loud'"]),
        ("[redis]\nurl = \"localhost\"", ["redis.url", "redis://"]),
        ("[[repository]]\nurl = \"/x\"", ["repository[0].match", "missing"]),
        ("[[repository]]\nmatch = \"a/b\"\nurl = \"ext::sh\"", ["repository[0].url", "git URL"]),
        ("[repository]\nmatch = \"a/b\"", ["repository", "[[repository]]"]),
        ("[[repository]]\nmatch = \"a/b\"\npriority = \"hihg\"", ["repository[0].priority", "mean \"high\""]),
        ("[[repository]]\nmatch = \"a/b\"\nspecialty = \"Back End\"", ["mine.toml", "Back End"]),
        (
            "[[repository]]\nmatch = \"a/b\"\ntrigger_on_open = 1",
            ["repository[0].trigger_on_open", "true or"],
        ),
        ("[[repository]]\nmatch = \"a/b\"\ntrigger_label = \" \"", ["repository[0].trigger_label", "empty"]),
        (
            "[[repository]]\nmatch = \"a/b\"\ntrusted_associations = [\"members\"]",
            ["repository[0].trusted_associations", "mean \"MEMBER\""],
        ),
        ("[github]\ntrusted_permissions = [\"writer\"]", ["github.trusted_permissions", "mean \"write\""]),
        ("[github]\ndenied_logins = [\"@eve\"]", ["github.denied_logins", "without '@'"]),
        ("[github]\nruns_per_issue_per_day = 0", ["github.runs_per_issue_per_day", "between 1 and 1000"]),
        ("redis = 1", ["redis is a section", "[section]"]),
    ] {
        let message = Layers::new().file("mine.toml", text).refused();
        assert!(message.contains("mine.toml"), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
    }
    let message = Layers::new().env(&[("CLAUDE_CLUSTER__WORKER__MAX_TASKS", "many")]).refused();
    assert!(message.contains("environment variable CLAUDE_CLUSTER__WORKER__MAX_TASKS"), "{message}");
}

#[test]
fn a_syntax_error_names_file_and_line_and_shows_no_secret() {
    let message = Layers::new().file("mine.toml", "[github]\ntoken = \"ghp_secret\n").refused();
    assert!(message.contains("mine.toml, line 2"), "{message}");
    assert!(!message.contains("ghp_secret"), "{message}");
    let message = Layers::new().dotenv("A=1\nGITHUB_TOKEN ghp_secret\n").refused();
    assert!(message.contains(".env, line 2"), "{message}");
    assert!(!message.contains("ghp_secret"), "{message}");
    let message = Layers::new().file("mine.toml", "[github]\ntoken = 12345\n").refused();
    assert!(message.contains("github.token") && !message.contains("12345"), "{message}");
}

#[test]
fn a_file_that_the_user_named_must_exist_and_the_others_need_not() {
    let mut layers = Layers::new();
    let absent = layers.dir.path().join("absent.toml");
    layers.sources.files.push(ConfigFile { path: absent.clone(), required: false });
    layers.sources.dotenv = Some(layers.dir.path().join(".env"));
    layers.load();
    layers.sources.files.push(ConfigFile { path: absent, required: true });
    assert!(layers.refused().contains("absent.toml"));
}

#[test]
fn a_dotenv_can_neither_redirect_the_queue_nor_the_agent_nor_set_a_command() {
    let layers = Layers::new().dotenv(
        "REDIS_URL=redis://elsewhere\nANTHROPIC_BASE_URL=http://elsewhere\nDATABASE_URL=x\n\
         CLAUDE_CLUSTER__AGENT__COMMAND=evil\nCLAUDE_CLUSTER__TEST__COMMAND=evil\nGITHUB_TOKEN=ghp_1\n",
    );
    let config = layers.load().config;
    assert_eq!(config.redis.url.expose_secret(), "");
    assert_eq!(config.agent.anthropic_base_url, "");
    assert!(config.agent.command.is_empty() && config.test.command.is_empty());
    assert_eq!(config.github.token.expose_secret(), "ghp_1");
}

#[test]
fn every_customary_variable_sets_its_key_and_an_empty_one_sets_nothing() {
    let names = [
        "GITHUB_TOKEN",
        "GITHUB_WEBHOOK_SECRET",
        "ANTHROPIC_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "REDIS_PASSWORD",
        "GIT_USER_NAME",
        "GIT_USER_EMAIL",
    ];
    let pairs: Vec<_> =
        names.iter().map(|name| (*name, *name)).chain([("REDIS_URL", "redis://h/0")]).collect();
    let config = Layers::new().env(&pairs).load().config;
    assert_eq!(config.github.token.expose_secret(), "GITHUB_TOKEN");
    assert_eq!(config.github.webhook_secret.expose_secret(), "GITHUB_WEBHOOK_SECRET");
    assert_eq!(config.agent.anthropic_api_key.expose_secret(), "ANTHROPIC_API_KEY");
    assert_eq!(config.agent.claude_code_oauth_token.expose_secret(), "CLAUDE_CODE_OAUTH_TOKEN");
    assert_eq!(config.agent.anthropic_base_url, "ANTHROPIC_BASE_URL");
    assert_eq!(config.redis.password.expose_secret(), "REDIS_PASSWORD");
    assert_eq!(config.redis.url.expose_secret(), "redis://h/0");
    assert_eq!(
        (config.git.user_name.as_str(), config.git.user_email.as_str()),
        ("GIT_USER_NAME", "GIT_USER_EMAIL")
    );
    let config = Layers::new().env(&[("GIT_USER_NAME", ""), ("GITHUB_TOKEN", "")]).load().config;
    assert_eq!(config.git.user_name, "Claude Code Cluster");
}

#[test]
fn of_a_proxys_two_spellings_the_small_one_wins_and_it_is_shown_to_nobody() {
    let proxy = |variables: &[(&str, &str)]| {
        let loaded = Layers::new().env(variables).load();
        assert!(
            !loaded.settings.iter().any(|setting| setting.value.contains("p4ss")),
            "{:?}",
            loaded.settings
        );
        let github = loaded.config.github;
        (github.proxy.expose_secret().to_owned(), github.no_proxy)
    };
    let large = [("HTTPS_PROXY", "http://ann:p4ss@large:3128"), ("NO_PROXY", "example.org")];
    assert_eq!(proxy(&large), ("http://ann:p4ss@large:3128".to_owned(), "example.org".to_owned()));
    let both = [large[0], ("https_proxy", "small:3128"), ("no_proxy", ".test")];
    assert_eq!(proxy(&both), ("small:3128".to_owned(), ".test".to_owned()));
    for odd in ["socks5://p4ss:1080", "https://p4ss:3128", "http://", "http://h/p4ss", "no proxy p4ss"] {
        let error = Layers::new().env(&[("HTTPS_PROXY", odd)]).refused();
        assert!(error.contains("HTTPS_PROXY") && error.contains("github.proxy"), "{odd}: {error}");
        assert!(!error.contains("p4ss"), "{error}");
    }
}

#[test]
fn variables_take_lists_numbers_and_switches() {
    let layers = Layers::new().env(&[
        ("CLAUDE_CLUSTER__WORKER__SPECIALTIES", "backend, frontend"),
        ("CLAUDE_CLUSTER__AGENT__COMMAND", "[\"my agent\", \"--fast\"]"),
        ("CLAUDE_CLUSTER__AGENT__DRIVER", "command"),
        ("CLAUDE_CLUSTER__AGENT__MAX_BUDGET_USD", "2"),
        ("CLAUDE_CLUSTER__SANDBOX__NETWORK", "false"),
        ("CLAUDE_CLUSTER__INGEST__LISTEN", "127.0.0.1:9000"),
    ]);
    let config = layers.load().config;
    assert_eq!(config.worker.specialties, ["backend", "frontend"]);
    assert_eq!(config.agent.command, ["my agent", "--fast"]);
    assert_eq!(config.agent.driver, Driver::Command);
    assert!((config.agent.max_budget_usd - 2.0).abs() < f64::EPSILON && !config.sandbox.network);
    assert_eq!(config.ingest.listen.port(), 9000);
}

#[test]
fn secrets_are_masked_wherever_settings_are_shown() {
    let layers = Layers::new()
        .file(
            "mine.toml",
            "[[repository]]\nmatch = \"a/b\"\nurl = \"/srv/b.git\"\n[agent]\ncommand = [\"x\"]\n",
        )
        .env(&[
            ("GITHUB_TOKEN", "topsecret"),
            ("GITHUB_WEBHOOK_SECRET", "topsecret"),
            ("ANTHROPIC_API_KEY", "topsecret"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "topsecret"),
            ("REDIS_URL", "redis://user:topsecret@h/0"),
            ("REDIS_PASSWORD", "topsecret"),
        ]);
    let loaded = layers.load();
    assert!(!format!("{:?}", loaded.settings).contains("topsecret"));
    assert!(!format!("{:?}", loaded.config).contains("topsecret"));
    let value = |key: &str| loaded.settings.iter().find(|s| s.key == key).unwrap().value.clone();
    assert_eq!(value("redis.url"), "\"redis://user:********@h/0\"");
    assert_eq!(value("github.token"), "********");
    assert_eq!(value("repository[0].match"), "\"a/b\"");
    assert_eq!(value("agent.command"), "[\"x\"]");
}

#[test]
fn a_secret_in_a_file_that_everybody_can_read_is_warned_about() {
    let layers = Layers::new().file("mine.toml", "[github]\ntoken = \"x\"\n").file("plain.toml", "[log]\n");
    assert!(layers.load().warnings.is_empty());
    for file in &layers.sources.files {
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let warnings = layers.load().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("mine.toml") && warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let mut layers = Layers::new();
    let (first, second) = (layers.write("first", "from-first\n"), layers.write("second", "from-second\r\n"));
    let empty = layers.write("empty", "\n");
    let named = |path: &PathBuf| path.display().to_string();
    layers = layers.file("mine.toml", &format!("[github]\ntoken_file = {:?}\n", named(&first)));
    let loaded = layers.load();
    assert_eq!(loaded.config.github.token.expose_secret(), "from-first");
    assert_eq!(origin(&loaded, "github.token"), named(&first));
    assert!(!format!("{:?}", loaded.settings).contains("from-first"));

    layers = layers.env(&[("GITHUB_TOKEN_FILE", &named(&second)), ("REDIS_PASSWORD_FILE", &named(&empty))]);
    let config = layers.load().config;
    assert_eq!(config.github.token.expose_secret(), "from-second", "a later layer wins");
    assert_eq!(config.redis.password.expose_secret(), "", "an empty file sets nothing");

    layers = layers.env(&[("GITHUB_TOKEN_FILE", &named(&empty))]);
    assert_eq!(layers.load().config.github.token.expose_secret(), "from-first");
    layers = layers.env(&[("GITHUB_TOKEN_FILE", &named(&second)), ("GITHUB_TOKEN", "itself")]);
    assert_eq!(layers.load().config.github.token.expose_secret(), "itself");
}

#[test]
fn a_file_for_a_secret_is_named_when_it_cannot_be_used() {
    let missing = Layers::new().env(&[("ANTHROPIC_API_KEY_FILE", "/nowhere/key")]).refused();
    let names = ["ANTHROPIC_API_KEY_FILE", "agent.anthropic_api_key_file", "/nowhere/key"];
    assert!(names.iter().all(|name| missing.contains(name)), "{missing}");
    let relative = Layers::new().file("mine.toml", "[redis]\npassword_file = \"secret\"\n").refused();
    assert!(relative.contains("mine.toml: redis.password_file must be an absolute path"), "{relative}");
    let twice =
        Layers::new().file("mine.toml", "[redis]\npassword = \"a\"\npassword_file = \"/x\"\n").refused();
    assert!(twice.contains("redis.password are both given"), "{twice}");
    let other = Layers::new().file("mine.toml", "[worker]\nnode_id_file = \"/x\"\n").refused();
    assert!(other.contains("did you mean"), "only values that may be secret stand in files: {other}");

    let mut layers = Layers::new();
    let open = layers.write("open", "secret");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    layers = layers.env(&[("GITHUB_TOKEN_FILE", &open.display().to_string())]);
    assert!(layers.load().warnings[0].contains("chmod 600"));
}

#[test]
fn the_home_directory_is_filled_in_from_the_environment_given() {
    let layers =
        Layers::new().file("mine.toml", "[workspace]\nroot = \"~/work\"\n").env(&[("HOME", "/home/me/")]);
    let config = layers.load().config;
    assert_eq!(config.workspace.root, PathBuf::from("/home/me/work"));
    assert_eq!(config.sandbox.tool_paths[0], "/home/me/.cargo/bin");
}

#[test]
fn a_specialty_s_agent_is_laid_over_key_by_key_and_shown_with_its_sources() {
    let loaded = Layers::new()
        .file(
            "a.toml",
            "[agent]\nmodel = \"opus\"\n[agent.specialty.backend]\nmodel = \"sonnet\"\nmax_turns = 5",
        )
        .env(&[("CLAUDE_CLUSTER__AGENT__SPECIALTY__BACKEND__MAX_TURNS", "7")])
        .load();
    let backend = loaded.config.agent.for_specialty(&"backend".parse().unwrap());
    assert_eq!((backend.model.as_str(), backend.max_turns), ("sonnet", 7));
    let general = loaded.config.agent.for_specialty(&"general".parse().unwrap());
    assert_eq!((general.model.as_str(), general.max_turns), ("opus", 100));
    let shown = |key: &str| loaded.settings.iter().find(|setting| setting.key == key).unwrap();
    assert!(shown("agent.specialty.backend.model").origin.ends_with("a.toml"));
    assert!(shown("agent.specialty.backend.max_turns").origin.contains("BACKEND__MAX_TURNS"));
}

#[test]
fn the_documentation_names_every_key() {
    let text = include_str!("../../docs/configuration.md");
    for setting in Layers::new().load().settings {
        assert!(text.contains(&format!("| `{}` |", setting.key)), "{}", setting.key);
    }
}

#[test]
fn the_api_is_switched_off_by_an_empty_address_and_its_settings_are_checked() {
    let api = |text: &str| Layers::new().file("c.toml", &format!("[api]\n{text}\n"));
    assert!(Layers::new().load().config.api.listen.is_some());
    assert_eq!(api("listen = \"\"").load().config.api.listen, None);
    assert!(api("listen = \"8001\"").refused().contains("c.toml"));
    assert!(api("token = \"short\"").refused().contains("api.token must be 16 characters or more"));
    assert!(api("token = \"with a space in the middle\"").refused().contains("api.token"));
    assert!(api("hosts = [\"http://cluster\"]").refused().contains("api.hosts"));
    assert!(api("default_repository = \"a/b/c\"").refused().contains("api.default_repository"));
    let token = "0123456789abcdef";
    let loaded = Layers::new().env(&[("CLAUDE_CLUSTER_API_TOKEN", token)]).load();
    assert_eq!(loaded.config.api.token.expose_secret(), token);
    let shown = loaded.settings.iter().find(|setting| setting.key == "api.token").unwrap();
    assert!(!shown.value.contains(token), "{shown:?}");
}
