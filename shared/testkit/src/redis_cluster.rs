//! A Redis Cluster of a test's own.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::RedisServer;

/// How long the nodes may take to agree on something.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a node may be silent before the others call it dead.
const NODE_TIMEOUT_MS: &str = "1000";

/// Three masters, with a replica each where asked for; killed when dropped.
pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
    /// What redis-cli needs to reach them.
    access: Vec<String>,
}

impl RedisCluster {
    /// Three masters.
    pub fn start() -> Result<Self> {
        Self::start_with(RedisServer::start_on_port, &[], Vec::new(), 3, 0)
    }

    /// Three masters and a replica of each.
    pub fn start_with_replicas() -> Result<Self> {
        Self::start_with(RedisServer::start_on_port, &[], Vec::new(), 6, 1)
    }

    /// Three masters that speak TLS alone, with each other as well. `files`: `--tls-ca-cert-file` and the like, each with
    /// its value; `ca` is the former.
    pub fn start_with_tls(files: &[&str], ca: &str) -> Result<Self> {
        let arguments = [files, &["--tls-cluster", "yes"]].concat();
        let access = ["--tls", "--cacert", ca].map(str::to_owned).to_vec();
        Self::start_with(RedisServer::start_with_tls, &arguments, access, 3, 0)
    }

    fn start_with(
        start: fn(&[&str]) -> Result<RedisServer>,
        further: &[&str],
        access: Vec<String>,
        nodes: usize,
        replicas: usize,
    ) -> Result<Self> {
        let arguments =
            [&["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT_MS], further].concat();
        let nodes: Vec<RedisServer> = (0..nodes).map(|_| start(&arguments)).collect::<Result<_>>()?;
        let cluster = Self { nodes, access };
        let replicas = replicas.to_string();
        let addresses: Vec<String> = cluster.nodes.iter().map(RedisServer::address).collect();
        let mut words = vec!["create"];
        words.extend(addresses.iter().map(String::as_str));
        words.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        cluster.cli(&words)?;
        cluster.await_agreement()?;
        Ok(cluster)
    }

    /// `host:port` of each node.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::address).collect()
    }

    /// Runs `redis-cli --cluster` and returns what it prints.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let output =
            Command::new("redis-cli").args(&self.access).arg("--cluster").args(words).env_clear().output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("redis-cli --cluster {}: {printed}", words.join(" "));
        }
        Ok(printed)
    }

    /// The node that has the slot of `key`.
    pub fn owner(&self, key: &str) -> Result<&RedisServer> {
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            let Ok(slot) = node.command::<u64>(&["CLUSTER", "KEYSLOT", key]) else { continue };
            let lines: String = node.command(&["CLUSTER", "NODES"])?;
            let own = lines.lines().find(|line| line.contains("myself,master")).unwrap_or_default();
            let has = |range: &str| match range.split_once('-') {
                Some((first, last)) => {
                    let bounds = first.parse::<u64>().ok().zip(last.parse::<u64>().ok());
                    bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
                }
                None => range.parse() == Ok(slot),
            };
            if own.split_ascii_whitespace().skip(8).any(has) {
                return Ok(node);
            }
        }
        bail!("no node has the slot of {key}")
    }

    /// The node's id in the cluster.
    pub fn id(node: &RedisServer) -> Result<String> {
        node.command(&["CLUSTER", "MYID"])
    }

    /// Waits until every living node says that all is well.
    pub fn await_agreement(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            loop {
                let info: String = node.command(&["CLUSTER", "INFO"]).context("a living node answers")?;
                if info.contains("cluster_state:ok") {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("the cluster does not agree: {info}");
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}
