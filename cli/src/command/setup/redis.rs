//! Redis: the configured server, or the program for the private one.

use shared::queue::{Queue, QueueError, ServerFacts};

use super::Check;
use crate::{
    embedded_redis::{EmbeddedRedisError, RedisBinary},
    session::Session,
};

const NAME: &str = "redis";

pub(super) async fn check(session: &Session) -> Vec<Check> {
    let redis = &session.config().redis;
    if !redis.names_a_server() {
        return vec![private(session)];
    }
    let asked = match Queue::open(redis, &session.config().queue) {
        Ok(queue) => queue.check().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(facts) => configured(&facts),
        Err(error) => vec![unusable(&error)],
    }
}

fn private(session: &Session) -> Check {
    let path = session.environment.path();
    match RedisBinary::find(path) {
        Ok(binary) => {
            let found = format!("private server, {} {}", binary.program.display(), binary.version);
            Check::ok(NAME, found)
        }
        Err(error @ (EmbeddedRedisError::Missing | EmbeddedRedisError::TooOld { .. })) => {
            let text = error.to_string();
            let (found, mend) = text.split_once("; ").unwrap_or((&text, ""));
            Check::missing(NAME, found, mend)
        }
        Err(error) => {
            Check::missing(NAME, error.to_string(), "mend that, or set redis.url to a server that runs")
        }
    }
}

fn configured(facts: &ServerFacts) -> Vec<Check> {
    let mut checks = vec![match &facts.version {
        Some(version) => Check::ok(NAME, format!("configured server, version {version}")),
        None => Check::warn(
            NAME,
            "could not check version, append-only file and maxmemory-policy",
            "give the user +info, as scripts/redis-acl does, or look yourself: docs/redis.md",
        ),
    }];
    if let Some(role) = facts.role.as_deref().filter(|role| *role != "master") {
        let mend = "point redis.url at the primary, or name its sentinels; a replica takes no writes";
        checks.push(Check::missing(NAME, format!("its role is {role}"), mend));
    }
    if facts.open {
        let mend = "set requirepass in redis.conf and redis.password (REDIS_PASSWORD) here";
        checks.push(Check::warn(
            NAME,
            "no password: every agent that has the network can change the queue",
            mend,
        ));
    }
    if facts.aof == Some(false) {
        let mend =
            "redis-cli config set appendonly yes, and in redis.conf: without it a crash of Redis loses tasks";
        checks.push(Check::warn(NAME, "no append-only file", mend));
    }
    if let Some(policy) = facts.eviction.as_deref().filter(|policy| *policy != "noeviction") {
        let mend =
            "redis-cli config set maxmemory-policy noeviction, and in redis.conf: others throw tasks away";
        checks.push(Check::warn(NAME, format!("maxmemory-policy is {policy}"), mend));
    }
    checks
}

fn unusable(error: &QueueError) -> Check {
    let mend = match error {
        QueueError::Unreachable(_) => {
            "start it, or correct redis.url (REDIS_URL), redis.sentinels or redis.cluster; leave all empty for a private server"
        }
        QueueError::Unsuitable(_) => {
            "install Redis 7.0 or Valkey 7.2, or leave redis.url empty for a private server"
        }
        _ => "correct redis.url, redis.user and redis.password",
    };
    Check::missing(NAME, error.to_string(), mend)
}
