//! `join-command`: the line that makes a spare PC a worker of this cluster.

use std::net::IpAddr;

use clap::Args;
use shared::config::{self, BUILT_IN, Loaded, RedisConfig, given};
use toml::{Table, Value};

use crate::{args::Global, environment::Environment, error::CommandError, render, session::sources};

/// Where the line keeps what it says, on the other PC.
const FILE: &str = "~/.config/claude-cluster/join.toml";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claude-cluster join-command
  docker compose exec ingest claude-cluster join-command --specialties backend,testing
The line contains the password of Redis. It writes a configuration file of mode 600 on the other PC and starts a worker
with it; start that worker again with `claude-cluster worker --config ~/.config/claude-cluster/join.toml`.
The PC's own environment or configuration gives what is not shared: GITHUB_TOKEN, ANTHROPIC_API_KEY, [[repository]].")]
pub struct JoinCommand {
    /// How the other PC reaches this cluster's Redis; redis.join_url, else redis.url.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// What the other PC takes: names or aliases with commas. Default: as configured there, else all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    specialties: Vec<String>,
}

impl JoinCommand {
    pub fn run(self, global: &Global) -> Result<(), CommandError> {
        let loaded = config::load(&sources(global, &Environment::capture(), Vec::new()))?;
        let redis = &loaded.config.redis;
        let named = self.url.as_deref().or(given(&redis.join_url));
        let servers = if redis.cluster.is_empty() { &redis.sentinels } else { &redis.cluster };
        let table = if named.is_none() && !servers.is_empty() {
            for address in servers {
                reachable(&format!("redis://{address}")).map_err(CommandError::Setting)?;
            }
            several_table(redis)
        } else {
            let url = named.or(given(&redis.url)).unwrap_or_default();
            reachable(url).map_err(CommandError::Setting)?;
            url_table(redis, url)?
        };
        let mut content = Table::from_iter([("redis".to_owned(), Value::Table(table))]).to_string();
        content.push_str(&queue_section(&loaded));
        let mut line = format!(
            "(umask 077; mkdir -p ~/.config/claude-cluster && printf %b {} > {FILE}) && claude-cluster worker --config {FILE}",
            quoted(&escaped(&content))
        );
        if !self.specialties.is_empty() {
            line.push_str(" --specialties ");
            line.push_str(&quoted(&self.specialties.join(",")));
        }
        render::line(line)
    }
}

/// Refuses what leads nowhere from another machine.
fn reachable(url: &str) -> Result<(), String> {
    let advice = "with Docker: LAN_HOST=<name or address of this machine> docker compose --profile lan up --detach; \
                  otherwise set redis.join_url to redis://host:port or rediss://host:port, or give it with --url";
    let Some(host) = host_of(url) else {
        return Err(format!("this cluster's Redis is a private one that no other machine reaches; {advice}"));
    };
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback {
        return Err(format!("{host} is this machine alone, for any other that reads it; {advice}"));
    }
    Ok(())
}

/// `None` for a unix socket and for no URL at all.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://"))?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => host.split(':').next(),
    }
}

fn url_table(redis: &RedisConfig, url: &str) -> Result<Table, CommandError> {
    let own_credentials = given(&redis.url).is_some_and(|own| own.contains('@')) && !url.contains('@');
    if given(&redis.password).is_none() && own_credentials {
        return Err(CommandError::Setting(
            "the password of Redis stands in redis.url and would be missing from the line; set it as redis.password"
                .to_owned(),
        ));
    }
    let mut table = common(redis, url.starts_with("rediss://"));
    table.insert("url".to_owned(), Value::from(url));
    Ok(table)
}

/// Sentinels or nodes of a cluster, which other machines reach by the same names.
fn several_table(redis: &RedisConfig) -> Table {
    let mut table = common(redis, redis.tls || redis.sentinel_tls);
    let mut insert = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
    for (key, addresses) in [("sentinels", &redis.sentinels), ("cluster", &redis.cluster)] {
        if !addresses.is_empty() {
            insert(key, Value::from(addresses.clone()));
        }
    }
    let sentinel_password = given(&redis.sentinel_password).unwrap_or_default();
    for (key, text) in [
        ("service", redis.service.as_str()),
        ("sentinel_user", &redis.sentinel_user),
        ("sentinel_password", sentinel_password),
    ] {
        if !text.is_empty() {
            insert(key, Value::from(text));
        }
    }
    for (key, on) in [("tls", redis.tls), ("sentinel_tls", redis.sentinel_tls)] {
        if on {
            insert(key, Value::from(true));
        }
    }
    table
}

/// What goes with any way to the server. A certificate of this machine's own stays here: the other has its own.
fn common(redis: &RedisConfig, tls: bool) -> Table {
    let mut table = Table::new();
    let mut insert = |key: &str, value: &str| drop(table.insert(key.to_owned(), Value::from(value)));
    if !redis.user.is_empty() {
        insert("user", &redis.user);
    }
    if let Some(password) = given(&redis.password) {
        insert("password", password);
    }
    if tls && !redis.ca.is_empty() {
        insert("ca", &redis.ca);
    }
    insert("prefix", &redis.prefix);
    if redis.database != 0 {
        table.insert("database".to_owned(), Value::from(redis.database));
    }
    table
}

/// What is not as shipped, because all processes of a cluster should have the same.
fn queue_section(loaded: &Loaded) -> String {
    let changed = loaded.settings.iter().filter(|s| s.origin != BUILT_IN);
    let lines = changed.filter_map(|s| Some(format!("{} = {}\n", s.key.strip_prefix("queue.")?, s.value)));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\n[queue]\n{lines}") }
}

/// For `printf %b`, which turns it back.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// As one word of a shell's line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_behind_credentials_and_before_the_port() {
        assert_eq!(host_of("rediss://user:p@ss@pc.lan:6380/0"), Some("pc.lan"));
        assert_eq!(host_of("redis://[fd00::1]:6379"), Some("fd00::1"));
        assert_eq!(host_of("unix:///run/redis.sock"), None);
        assert_eq!(host_of(""), None);
    }

    #[test]
    fn a_server_of_this_machine_alone_is_refused() {
        for url in [
            "",
            "unix:///run/redis.sock",
            "redis://127.0.0.1:6379/0",
            "rediss://localhost",
            "redis://[::1]/0",
        ] {
            assert!(reachable(url).is_err(), "{url}");
        }
        assert!(reachable("rediss://192.168.1.10:6380/0").is_ok());
    }
}
