//! What the server is, as start-up and `setup` want to know it.

use redis::{ErrorKind, ServerErrorKind};

use super::{Queue, QueueError};

/// Oldest server that has what the scripts use (script flags, `ZRANGE BYSCORE`, `XAUTOCLAIM`'s corrections).
const VERSION_MIN: (u32, u32) = (7, 0);

/// What the server tells; of a cluster the worst of what its masters tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// `None`, as the three below: our user may not ask (`INFO`).
    pub version: Option<String>,
    /// Whether an append-only file is kept: without it a crash of Redis loses tasks.
    pub aof: Option<bool>,
    /// `maxmemory-policy`; anything but `noeviction` throws tasks away when memory runs out. Some servers do not tell.
    pub eviction: Option<String>,
    /// `master` or `slave`.
    pub role: Option<String>,
    /// It listens on TCP and let us in without a password: so it does an agent, which shares the network.
    pub open: bool,
}

impl Queue {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// [`QueueError::Unreachable`], [`QueueError::Refused`] (credentials), or [`QueueError::Unsuitable`] when
    /// it is older than Redis 7.0.
    pub async fn check(&self) -> Result<ServerFacts, QueueError> {
        let connections = &self.inner.connections;
        let mut worst: Option<ServerFacts> = None;
        for master in connections.masters().await? {
            // All sections: servers before 7.0 answer several by name with an error that says nothing of their age.
            let asked =
                master.send(&redis::cmd("INFO")).await.and_then(|text| Ok(redis::from_redis_value(text)?));
            let text: String = match asked {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => String::new(),
                other => {
                    if let Err(error) = &other {
                        connections.failed(error).await;
                    }
                    other?
                }
            };
            let facts = read(&text, connections.is_open())?;
            worst = Some(match worst {
                Some(other) => other.and(facts),
                None => facts,
            });
        }
        worst.ok_or_else(|| QueueError::Unreachable("the cluster has no masters".to_owned()))
    }
}

impl ServerFacts {
    fn and(self, other: Self) -> Self {
        let worse_policy =
            |policy: &Option<String>| policy.as_ref().is_some_and(|policy| policy != "noeviction");
        Self {
            version: self.version.min(other.version),
            aof: self.aof.min(other.aof),
            eviction: if worse_policy(&self.eviction) { self.eviction } else { other.eviction },
            role: if self.role.as_deref() == Some("master") { other.role } else { self.role },
            open: self.open || other.open,
        }
    }
}

fn read(info: &str, open: bool) -> Result<ServerFacts, QueueError> {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let version = field("redis_version");
    if let Some(version) = &version {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < VERSION_MIN {
            return Err(QueueError::Unsuitable(format!(
                "redis {version} is too old: 7.0 or newer (or valkey 7.2) is needed; update it or use another"
            )));
        }
    }
    Ok(ServerFacts {
        version,
        aof: field("aof_enabled").map(|enabled| enabled == "1"),
        eviction: field("maxmemory_policy"),
        role: field("role"),
        open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_masters_the_worst_counts() {
        let info = |version: &str, aof: u8, policy: &str| {
            let text = format!(
                "redis_version:{version}\r\naof_enabled:{aof}\r\nmaxmemory_policy:{policy}\r\nrole:master\r\n"
            );
            read(&text, false).unwrap()
        };
        let both = info("7.2.4", 1, "noeviction").and(info("7.0.15", 0, "allkeys-lru"));
        assert_eq!(both, info("7.0.15", 0, "allkeys-lru"));
        assert_eq!(info("7.0.15", 0, "allkeys-lru").and(info("7.2.4", 1, "noeviction")), both);
    }

    #[test]
    fn a_server_that_tells_nothing_is_not_called_bad() {
        let facts = read("", true).unwrap();
        assert_eq!(facts, ServerFacts { version: None, aof: None, eviction: None, role: None, open: true });
        assert!(matches!(read("redis_version:6.2.14\r\n", false), Err(QueueError::Unsuitable(_))));
    }
}
