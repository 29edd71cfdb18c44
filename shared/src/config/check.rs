//! Values that have the right kind and still make no sense.

mod redis;

use std::path::Path;

use secrecy::ExposeSecret;

use super::{
    AgentConfig, Config, ConfigError, Driver, Setting, WorkspaceConfig,
    load::BUILT_IN,
    polled::listed_owner,
    schema::{bad, closest},
};
use crate::{RepositoryName, Specialty, telemetry};

/// Most tasks at a time that one worker takes.
pub const MAX_TASKS_MAX: u32 = 64;

/// Longest node id, in bytes.
const NODE_ID_BYTES_MAX: usize = 64;

/// Longest name of an agent account, in bytes.
const ACCOUNT_BYTES_MAX: usize = 64;

/// Smallest budget, in US dollars: less buys no call of an agent.
const BUDGET_USD_MIN: f64 = 0.01;

/// Largest budget, in US dollars.
const BUDGET_USD_MAX: f64 = 1_000_000.0;

/// Fewest characters of a token that guards writes.
const API_TOKEN_BYTES_MIN: usize = 16;

/// What `author_association` can be, and the roles that GitHub's permission look-up knows.
const ASSOCIATIONS: [&str; 8] = [
    "OWNER",
    "MEMBER",
    "COLLABORATOR",
    "CONTRIBUTOR",
    "FIRST_TIMER",
    "FIRST_TIME_CONTRIBUTOR",
    "MANNEQUIN",
    "NONE",
];
const PERMISSIONS: [&str; 5] = ["admin", "maintain", "write", "triage", "read"];

/// Most tasks of one issue in a day. Each is remembered for that day.
const RUNS_PER_ISSUE_MAX: u64 = 1_000;
/// Largest lead of a specialty that is called small, in points.
const MARGIN_MAX: f32 = 100.0;

/// Longest addition to an agent's instructions, in bytes: it is one argument of a program.
const SYSTEM_PROMPT_BYTES_MAX: usize = 32 * 1024;

/// Ten years, in hours.
const UNUSED_HOURS_MAX: u64 = 87_660;

/// A day, in milliseconds: no single wait is longer.
const DAY_MS: u64 = 86_400_000;

/// Refuses what no process should start with; blames the layer that set it.
pub(super) fn check(config: &Config, settings: &[Setting]) -> Result<(), ConfigError> {
    let Err((key, problem)) = problems(config) else { return Ok(()) };
    let origin = settings.iter().find(|setting| setting.key == key).map_or(BUILT_IN, |s| &s.origin);
    Err(bad(origin, &key, &problem))
}

type Problem = (String, String);

fn problem<T>(key: &str, text: impl Into<String>) -> Result<T, Problem> {
    Err((key.to_owned(), text.into()))
}

fn require(condition: bool, key: &str, text: &str) -> Result<(), Problem> {
    if condition { Ok(()) } else { problem(key, text) }
}

fn within(key: &str, value: u64, min: u64, max: u64) -> Result<(), Problem> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    problem(key, format!("must be between {min} and {max}, not {value}"))
}

fn problems(config: &Config) -> Result<(), Problem> {
    redis::check(&config.redis)?;
    queue(config)?;
    intake(config)?;
    poll(config)?;
    api(config)?;
    worker(config)?;
    agent(config)?;
    repositories(config)?;
    telemetry::filter(&config.log.level)
        .map(drop)
        .or_else(|error| problem("log.level", format!("cannot be used: {error}")))
}

fn queue(config: &Config) -> Result<(), Problem> {
    let queue = &config.queue;
    within("queue.beat_ms", queue.beat_ms, 50, DAY_MS)?;
    within("queue.sweep_ms", queue.sweep_ms, 50, DAY_MS)?;
    within("queue.lease_ms", queue.lease_ms, 100, DAY_MS)?;
    if queue.lease_ms <= 2 * queue.beat_ms {
        let text = format!(
            "must be more than twice queue.beat_ms, so that one lost beat loses no task: {} is not more than 2 x {}",
            queue.lease_ms, queue.beat_ms
        );
        return problem("queue.lease_ms", text);
    }
    within("queue.outage_grace_ms", queue.outage_grace_ms, 0, DAY_MS)?;
    within("queue.lost_workers_max", queue.lost_workers_max.into(), 1, 1_000)?;
    within("queue.attempts_max", queue.attempts_max.into(), 1, 1_000)?;
    within("queue.retry_base_ms", queue.retry_base_ms, 1, DAY_MS)?;
    within("queue.retry_cap_ms", queue.retry_cap_ms, queue.retry_base_ms, DAY_MS)?;
    for (key, value) in [
        ("queue.finished_count_max", queue.finished_count_max),
        ("queue.finished_age_hours", queue.finished_age_hours),
        ("queue.events_count_max", queue.events_count_max),
        ("queue.log_lines_max", queue.log_lines_max),
        ("queue.log_ttl_hours", queue.log_ttl_hours),
        ("queue.delivery_ttl_hours", queue.delivery_ttl_hours),
    ] {
        within(key, value, 1, 10_000_000)?;
    }
    Ok(())
}

fn intake(config: &Config) -> Result<(), Problem> {
    within("ingest.body_bytes_max", config.ingest.body_bytes_max, 1_024, 100 * 1024 * 1024)?;
    let github = &config.github;
    for (key, url) in [("github.base_url", &github.base_url), ("github.git_base_url", &github.git_base_url)] {
        let optional = key == "github.git_base_url" && url.is_empty();
        require(
            optional || is_base_url(url),
            key,
            "must be an https:// or http:// URL without user, query or spaces",
        )?;
    }
    within("github.timeout_ms", github.timeout_ms, 10, DAY_MS)?;
    within("github.write_pause_ms", github.write_pause_ms, 0, 60_000)?;
    let key = github.app_key.expose_secret();
    require(
        github.app_id.trim().is_empty() || !key.is_empty(),
        "github.app_id",
        "needs the app's private key too: set github.app_key_file",
    )?;
    require(
        key.is_empty() || key.contains("PRIVATE KEY-----"),
        "github.app_key",
        "must be a private key in PEM; for a file write app_key_file",
    )?;
    let proxy = github.proxy.expose_secret();
    require(
        proxy.is_empty() || is_proxy(proxy),
        "github.proxy",
        "must be http://[USER:PASSWORD@]HOST:PORT; a proxy of another kind cannot be used for GitHub's API",
    )?;
    label("github.trigger_label", &github.trigger_label)?;
    words("github.trusted_associations", &github.trusted_associations, &ASSOCIATIONS)?;
    words("github.trusted_permissions", &github.trusted_permissions, &PERMISSIONS)?;
    logins("github.trusted_logins", &github.trusted_logins)?;
    logins("github.denied_logins", &github.denied_logins)?;
    let runs = github.runs_per_issue_per_day;
    within("github.runs_per_issue_per_day", runs.into(), 1, RUNS_PER_ISSUE_MAX)?;
    absolute("classify.terms_file", &config.classify.terms_file)?;
    let margin = config.classify.second_opinion_margin;
    require(
        (0.0..=MARGIN_MAX).contains(&margin),
        "classify.second_opinion_margin",
        "must be from 0 to 100 points",
    )
}

fn poll(config: &Config) -> Result<(), Problem> {
    let poll = &config.poll;
    within("poll.interval_ms", poll.interval_ms, 100, DAY_MS)?;
    within("poll.jitter_ms", poll.jitter_ms, 0, DAY_MS)?;
    within("poll.pages_max", poll.pages_max.into(), 1, 1_000)?;
    within("poll.listing_interval_ms", poll.listing_interval_ms, 1_000, DAY_MS)?;
    let named = |name: &str| {
        let exact = !name.contains(['*', '?', '[']);
        exact && name.parse::<RepositoryName>().is_ok_and(|name| name.forge().is_some())
    };
    let odd = poll.repositories.iter().find(|name| !named(name) && listed_owner(name).is_none());
    if let Some(odd) = odd {
        let text =
            format!("must hold names owner/name and patterns of one owner such as owner/*, not \"{odd}\"");
        return problem("poll.repositories", text);
    }
    if !poll.enabled {
        return Ok(());
    }
    require(
        !config.polled().is_empty() || !config.polled_owners().is_empty(),
        "poll.enabled",
        "needs to know what to poll: set poll.repositories, or add a [[repository]] entry whose match is owner/name or \
         a pattern of one owner such as owner/*",
    )?;
    let github = &config.github;
    require(
        !github.app_id.trim().is_empty() || !github.token.expose_secret().trim().is_empty(),
        "poll.enabled",
        "needs GITHUB_TOKEN (github.token), or an app's github.app_id and github.app_key_file",
    )
}

fn label(key: &str, text: &str) -> Result<(), Problem> {
    require(!text.trim().is_empty(), key, "must not be empty")
}

/// Words out of a fixed set, regardless of case.
fn words(key: &str, given: &[String], known: &[&str]) -> Result<(), Problem> {
    let unknown = given.iter().find(|word| !known.iter().any(|known| known.eq_ignore_ascii_case(word)));
    let Some(word) = unknown else { return Ok(()) };
    let spelled = if known.contains(&"OWNER") { word.to_uppercase() } else { word.to_lowercase() };
    let nearest = closest(&spelled, known.iter().copied());
    problem(
        key,
        format!(
            "must hold some of \"{}\", not \"{word}\"; did you mean \"{nearest}\"?",
            known.join("\", \"")
        ),
    )
}

/// Logins, those of apps (`name[bot]`) and of enterprise users (`name_company`) included.
fn logins(key: &str, given: &[String]) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'[' | b']');
    let fits = |login: &String| !login.is_empty() && login.bytes().all(plain);
    require(given.iter().all(fits), key, "must hold logins, without '@'")
}

fn api(config: &Config) -> Result<(), Problem> {
    let api = &config.api;
    let token = api.token.expose_secret();
    let sendable = token.bytes().all(|b| b.is_ascii_graphic());
    require(
        token.is_empty() || (sendable && token.len() >= API_TOKEN_BYTES_MIN),
        "api.token",
        "must be 16 characters or more, without spaces or letters beyond ASCII",
    )?;
    let named = |host: &String| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    require(api.hosts.iter().all(named), "api.hosts", "must hold host names, without scheme and port")?;
    match api.default_repository.parse::<RepositoryName>() {
        Err(error) if !api.default_repository.is_empty() => {
            problem("api.default_repository", format!("cannot be used: {error}"))
        }
        _ => Ok(()),
    }
}

fn worker(config: &Config) -> Result<(), Problem> {
    let worker = &config.worker;
    // The node id names a lock file and a consumer.
    let plain = worker.node_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    require(
        plain && worker.node_id.len() <= NODE_ID_BYTES_MAX && !worker.node_id.starts_with(['.', '-']),
        "worker.node_id",
        "must be at most 64 of A-Z a-z 0-9 . _ - and not begin with '.' or '-'",
    )?;
    require(
        !worker.specialties.is_empty(),
        "worker.specialties",
        "must name one at least; \"all\" takes every stream",
    )?;
    if let Some(Err(error)) = worker.specialties.iter().map(|s| s.parse::<Specialty>()).find(Result::is_err) {
        return problem("worker.specialties", format!("cannot be used: {error}"));
    }
    within("worker.max_tasks", worker.max_tasks.into(), 1, MAX_TASKS_MAX.into())?;
    within("worker.drain_ms", worker.drain_ms, 0, DAY_MS)?;
    workspace(&config.workspace)
}

fn workspace(workspace: &WorkspaceConfig) -> Result<(), Problem> {
    for (key, hours) in [
        ("workspace.keep_failed_hours", workspace.keep_failed_hours),
        ("workspace.mirror_unused_hours", workspace.mirror_unused_hours),
        ("workspace.cache_unused_hours", workspace.cache_unused_hours),
    ] {
        within(key, hours, 0, UNUSED_HOURS_MAX)?;
    }
    within("workspace.janitor_ms", workspace.janitor_ms, 100, DAY_MS)?;
    absolute("workspace.root", &workspace.root)
}

fn agent(config: &Config) -> Result<(), Problem> {
    one_agent("agent", &config.agent)?;
    require(
        config.agent.docker_socket.is_empty(),
        "agent.docker_socket",
        "gives away the machine: name it for the specialty that needs it, in [agent.specialty.<name>]",
    )?;
    for name in config.agent.specialty.keys() {
        let section = format!("agent.specialty.{name}");
        match name.parse::<Specialty>() {
            Ok(specialty) => one_agent(&section, &config.agent.for_specialty(&specialty))?,
            Err(error) => return problem(&section, format!("cannot be used: {error}")),
        }
    }
    rounds(config)
}

/// One agent with what its section replaces; `section` is the place to blame.
fn one_agent(section: &str, agent: &AgentConfig) -> Result<(), Problem> {
    let key = |name: &str| format!("{section}.{name}");
    require(
        agent.driver != Driver::Command || !agent.command.is_empty(),
        &key("driver"),
        &format!("\"command\" needs {}: the program and its arguments", key("command")),
    )?;
    require(
        agent.command.first().is_none_or(|program| !program.is_empty()),
        &key("command"),
        "must begin with the name of a program",
    )?;
    within(&key("wall_clock_ms"), agent.wall_clock_ms, 1, 7 * DAY_MS)?;
    within(&key("inactivity_ms"), agent.inactivity_ms, 1, 7 * DAY_MS)?;
    within(&key("max_turns"), agent.max_turns.into(), 0, 100_000)?;
    within(&key("retries_max"), agent.retries_max.into(), 0, 10)?;
    for (name, usd) in
        [("max_budget_usd", agent.max_budget_usd), ("budget_usd_per_day", agent.budget_usd_per_day)]
    {
        let fits = usd == 0.0 || (BUDGET_USD_MIN..=BUDGET_USD_MAX).contains(&usd);
        require(fits, &key(name), "must be a sum of money from 0.01 to 1000000, or 0 for no limit")?;
    }
    absolute(&key("docker_socket"), Path::new(&agent.docker_socket))?;
    // Braces mean something in the name of a key.
    let plain = !agent.account.contains(|c: char| c.is_control() || matches!(c, '{' | '}'));
    require(
        plain && agent.account.len() <= ACCOUNT_BYTES_MAX,
        &key("account"),
        "must be at most 64 bytes without braces and control characters",
    )?;
    let has_tools = matches!(agent.driver, Driver::Claude | Driver::Gemini);
    for (name, tools) in
        [("allowed_tools", &agent.allowed_tools), ("disallowed_tools", &agent.disallowed_tools)]
    {
        require(has_tools || tools.is_empty(), &key(name), "is for the drivers claude and gemini only")?;
        require(tools.iter().all(|tool| !tool.is_empty()), &key(name), "must hold names of tools")?;
    }
    require(
        !agent.system_prompt.contains('\0') && agent.system_prompt.len() <= SYSTEM_PROMPT_BYTES_MAX,
        &key("system_prompt"),
        "must be at most 32768 bytes of text",
    )?;
    for (name, url) in
        [("openai_base_url", &agent.openai_base_url), ("gemini_base_url", &agent.gemini_base_url)]
    {
        require(url.is_empty() || is_base_url(url), &key(name), "must be an http:// or https:// URL")?;
    }
    Ok(())
}

fn rounds(config: &Config) -> Result<(), Problem> {
    within("test.timeout_ms", config.test.timeout_ms, 1, 7 * DAY_MS)?;
    within("test.rounds_max", config.test.rounds_max.into(), 1, 20)?;
    within("git.timeout_ms", config.git.timeout_ms, 1, DAY_MS)?;
    // git itself drops these characters from a name and fails when nothing is left.
    for (key, text) in [("git.user_name", &config.git.user_name), ("git.user_email", &config.git.user_email)]
    {
        let fits = !text.trim().is_empty() && !text.chars().any(|c| c.is_control() || matches!(c, '<' | '>'));
        require(fits, key, "must not be empty nor contain '<', '>' or control characters")?;
    }
    Ok(())
}

fn repositories(config: &Config) -> Result<(), Problem> {
    for (index, entry) in config.repository.iter().enumerate() {
        let key = |name: &str| format!("repository[{index}].{name}");
        require(
            !entry.pattern.is_empty(),
            &key("match"),
            "must not be empty; \"*\" stands for every repository",
        )?;
        if !entry.url.is_empty() {
            match entry.url.parse::<RepositoryName>() {
                Ok(RepositoryName::Path(_) | RepositoryName::Url(_)) => {}
                Ok(RepositoryName::Forge { .. }) => {
                    return problem(&key("url"), "must be an absolute path or a git URL");
                }
                Err(error) => return problem(&key("url"), format!("cannot be used: {error}")),
            }
        }
        require(!entry.base_branch.starts_with('-'), &key("base_branch"), "must not begin with '-'")?;
        if let Some(text) = &entry.trigger_label {
            label(&key("trigger_label"), text)?;
        }
        let listed = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
        words(&key("trusted_associations"), &listed(&entry.trusted_associations), &ASSOCIATIONS)?;
        words(&key("trusted_permissions"), &listed(&entry.trusted_permissions), &PERMISSIONS)?;
        logins(&key("trusted_logins"), &listed(&entry.trusted_logins))?;
        logins(&key("denied_logins"), &entry.denied_logins)?;
        if let Some(runs) = entry.runs_per_issue_per_day {
            within(&key("runs_per_issue_per_day"), runs.into(), 1, RUNS_PER_ISSUE_MAX)?;
        }
    }
    Ok(())
}

/// Whether a proxy can be told from it: `[http://][USER:PASSWORD@]HOST[:PORT]`.
fn is_proxy(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let path = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    uri.host().is_some_and(|host| !host.is_empty()) && path && matches!(uri.scheme_str(), None | Some("http"))
}

fn is_base_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !b"@?#\\\"'`$".contains(&b));
    plain && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

fn absolute(key: &str, path: &Path) -> Result<(), Problem> {
    require(path.as_os_str().is_empty() || path.is_absolute(), key, "must be an absolute path")
}
