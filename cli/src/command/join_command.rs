//! `join-command`: the line that makes a spare PC a worker of this cluster.

use std::net::IpAddr;

use clap::Args;
use shared::config::{self, BUILT_IN, Config, Loaded, given};
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
        let url = self.url.as_deref().or(given(&loaded.config.redis.join_url));
        let url = url.or(given(&loaded.config.redis.url)).unwrap_or_default();
        reachable(url).map_err(CommandError::Setting)?;
        let redis = redis_table(&loaded.config, url)?;
        let mut content = Table::from_iter([("redis".to_owned(), Value::Table(redis))]).to_string();
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

fn redis_table(config: &Config, url: &str) -> Result<Table, CommandError> {
    let redis = &config.redis;
    let mut table = Table::new();
    let mut insert = |key: &str, value: &str| table.insert(key.to_owned(), Value::from(value));
    insert("url", url);
    match given(&redis.password) {
        Some(password) => drop(insert("password", password)),
        None if given(&redis.url).is_some_and(|own| own.contains('@')) && !url.contains('@') => {
            return Err(CommandError::Setting(
                "the password of Redis stands in redis.url and would be missing from the line; set it as redis.password"
                    .to_owned(),
            ));
        }
        None => {}
    }
    if url.starts_with("rediss://") && !redis.ca.is_empty() {
        insert("ca", &redis.ca);
    }
    insert("prefix", &redis.prefix);
    Ok(table)
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
