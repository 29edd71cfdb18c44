//! `[redis]`: one way to the server, and what goes with it only.

use secrecy::{ExposeSecret, SecretString};

use super::{DAY_MS, Problem, require, within};
use crate::config::{RedisConfig, ServerAddress, given};

pub(super) fn check(redis: &RedisConfig) -> Result<(), Problem> {
    let begins = |url: &SecretString, schemes: &[&str]| {
        given(url).is_none_or(|url| schemes.iter().any(|scheme| url.starts_with(scheme)))
    };
    require(
        begins(&redis.url, &["redis://", "rediss://", "unix:///", "redis+unix:///"]),
        "redis.url",
        "must begin with redis://, rediss:// or unix:///",
    )?;
    require(
        begins(&redis.join_url, &["redis://", "rediss://"]),
        "redis.join_url",
        "must begin with redis:// or rediss://",
    )?;
    several_servers(redis)?;
    for (key, text) in [("redis.ca", redis.ca.as_str()), ("redis.client_cert", &redis.client_cert)] {
        let pem = text.is_empty() || text.contains("-----BEGIN CERTIFICATE-----");
        require(pem, key, &format!("must be certificates in PEM; for a file write {}_file", name_of(key)))?;
    }
    let key = redis.client_key.expose_secret();
    let pem = key.is_empty() || (key.contains("-----BEGIN ") && key.contains("PRIVATE KEY-----"));
    require(pem, "redis.client_key", "must be a key in PEM; for a file write client_key_file")?;
    require(
        key.is_empty() == redis.client_cert.is_empty(),
        if key.is_empty() { "redis.client_cert" } else { "redis.client_key" },
        "is of no use alone: give redis.client_cert and redis.client_key",
    )?;
    let prefix = &redis.prefix;
    let plain = prefix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    require(
        plain && (1..=32).contains(&prefix.len()),
        "redis.prefix",
        "must be 1 to 32 of A-Z a-z 0-9 . _ -",
    )?;
    within("redis.database", redis.database.into(), 0, 1_000_000)?;
    within("redis.connect_timeout_ms", redis.connect_timeout_ms, 10, DAY_MS)?;
    within("redis.response_timeout_ms", redis.response_timeout_ms, 10, DAY_MS)?;
    within("redis.pool_size", redis.pool_size as u64, 1, 1_000)
}

/// Sentinels and nodes of a cluster, and what goes with them only.
fn several_servers(redis: &RedisConfig) -> Result<(), Problem> {
    let (url, sentinels, cluster) =
        (given(&redis.url).is_some(), !redis.sentinels.is_empty(), !redis.cluster.is_empty());
    for (key, named, others) in
        [("redis.sentinels", sentinels, url || cluster), ("redis.cluster", cluster, url || sentinels)]
    {
        let text = "goes alone: give one of redis.url, redis.sentinels and redis.cluster";
        require(!(named && others), key, text)?;
    }
    for (key, addresses) in [("redis.sentinels", &redis.sentinels), ("redis.cluster", &redis.cluster)] {
        let good = addresses.iter().all(|address| address.parse::<ServerAddress>().is_ok());
        require(
            good,
            key,
            "must hold host names or addresses with or without a port: \"host:port\", \"[::1]:port\"",
        )?;
    }
    require(
        !sentinels || !redis.service.is_empty(),
        "redis.service",
        "must say by which name the sentinels know the server; often mymaster",
    )?;
    require(
        !cluster || redis.database == 0,
        "redis.database",
        "must be 0: a Redis Cluster has one database",
    )?;
    require(
        !redis.tls || sentinels || cluster,
        "redis.tls",
        "is for redis.sentinels and redis.cluster; in redis.url write rediss://",
    )?;
    for (key, set) in [
        ("redis.service", !redis.service.is_empty()),
        ("redis.sentinel_user", !redis.sentinel_user.is_empty()),
        ("redis.sentinel_password", given(&redis.sentinel_password).is_some()),
        ("redis.sentinel_tls", redis.sentinel_tls),
    ] {
        require(!set || sentinels, key, "is of no use without redis.sentinels")?;
    }
    Ok(())
}

fn name_of(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
