//! A master, its replica and three sentinels of a test's own.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::RedisServer;

/// The name by which the sentinels know the server.
pub const SERVICE: &str = "queue";

/// How long a failover or its preparation may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// All five; killed when dropped.
pub struct RedisSentinels {
    /// The first is the master at the start.
    pub servers: Vec<RedisServer>,
    pub sentinels: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts them and waits until the sentinels know of each other and of the replica. `of_servers` and
    /// `of_sentinels` are further arguments and lines of configuration, such as passwords.
    pub fn start_with(of_servers: &[&str], of_sentinels: &str) -> Result<Self> {
        Self::launch(RedisServer::start_on_port, of_servers, of_sentinels, false)
    }

    /// All five speak TLS alone, with each other as well. `files`: what both kinds are told, `tls-ca-cert-file` and the
    /// like, each with its value.
    pub fn start_with_tls(files: &[(&str, &str)]) -> Result<Self> {
        let told = [files, &[("tls-replication", "yes")]].concat();
        let of_servers: Vec<String> =
            told.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
        let of_servers: Vec<&str> = of_servers.iter().map(String::as_str).collect();
        let lines: Vec<String> = told.iter().map(|(name, value)| format!("{name} {value}")).collect();
        Self::launch(RedisServer::start_with_tls, &of_servers, &lines.join("\n"), true)
    }

    fn launch(
        start: fn(&[&str]) -> Result<RedisServer>,
        of_servers: &[&str],
        of_sentinels: &str,
        tls: bool,
    ) -> Result<Self> {
        let master = start(of_servers)?;
        let port = master.port().to_string();
        let replica = start(&[of_servers, &["--replicaof", "127.0.0.1", &port]].concat())?;
        let lines = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {SERVICE} 500\n\
             sentinel failover-timeout {SERVICE} 3000\n{of_sentinels}\n"
        );
        let sentinels = (0..3).map(|_| RedisServer::start_sentinel(&lines, tls)).collect::<Result<_>>()?;
        let group = Self { servers: vec![master, replica], sentinels };
        group.await_readiness()?;
        Ok(group)
    }

    pub fn start() -> Result<Self> {
        Self::start_with(&[], "")
    }

    /// `host:port` of each sentinel.
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::address).collect()
    }

    /// Has the replica promoted, as an operator would who may not lose anything: once it has all that was
    /// acknowledged. Writes rest meanwhile, and are refused afterwards by a master without its replica.
    pub fn fail_over(&self) -> Result<()> {
        let before = self.master_port()?;
        let master = self.servers.iter().find(|server| server.port() == before);
        if let Some(master) = master {
            master.command::<()>(&["CLIENT", "PAUSE", "30000", "WRITE"])?;
            eventually("the replica has everything", || {
                let info: String = master.command(&["INFO", "replication"])?;
                let after = |name: &str| {
                    let (_, rest) = info.split_once(name)?;
                    rest.split([',', '\r']).next()?.parse::<u64>().ok()
                };
                Ok(after(",offset=").is_some() && after(",offset=") == after("master_repl_offset:"))
            })?;
        }
        self.sentinels[0].command::<()>(&["SENTINEL", "FAILOVER", SERVICE])?;
        self.await_other_master(before)?;
        // At rest it would not follow the new one, which then takes nothing.
        master.map_or(Ok(()), |master| master.command(&["CLIENT", "UNPAUSE"]))
    }

    /// Waits until most sentinels name another master than the one on this port, which says so itself.
    pub fn await_other_master(&self, before: u16) -> Result<()> {
        eventually("another master is named", || {
            let port = self.master_port()?;
            let server = self.servers.iter().find(|server| server.port() == port && port != before);
            let Some(server) = server else { return Ok(false) };
            let role: Vec<redis::Value> = server.command(&["ROLE"])?;
            Ok(redis::from_redis_value_ref::<String>(&role[0])? == "master")
        })
    }

    /// The port of the master that most sentinels name.
    pub fn master_port(&self) -> Result<u16> {
        let mut ports = Vec::new();
        for sentinel in &self.sentinels {
            let (_, port): (String, u16) =
                sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE])?;
            ports.push(port);
        }
        ports.sort_unstable();
        Ok(ports[ports.len() / 2])
    }

    fn await_readiness(&self) -> Result<()> {
        for sentinel in &self.sentinels {
            eventually("the sentinels know each other and the replica", || {
                let known: Vec<String> = sentinel.command(&["SENTINEL", "MASTER", SERVICE])?;
                let field =
                    |name: &str| known.iter().position(|word| word == name).map(|at| known[at + 1].clone());
                Ok(field("num-slaves").as_deref() == Some("1")
                    && field("num-other-sentinels").as_deref() == Some("2")
                    && field("flags").as_deref() == Some("master"))
            })?;
        }
        eventually("the replica follows", || {
            let info: String = self.servers[1].command(&["INFO", "replication"])?;
            Ok(info.contains("master_link_status:up"))
        })
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match holds() {
            Ok(true) => return Ok(()),
            other if Instant::now() > deadline => bail!("{what}: not within {PATIENCE:?} ({other:?})"),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}
