//! Encrypted connections.

use std::sync::Once;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates};

use crate::config::{RedisConfig, given};

static PROVIDER: Once = Once::new();

/// `info`, which trusts the configured authority instead of the system's and proves itself by the configured
/// certificate, where these are given. Nothing changes where the address does not ask for TLS.
pub(super) fn prepared(info: ConnectionInfo, redis: &RedisConfig) -> RedisResult<ConnectionInfo> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Ok(info);
    }
    // TLS refuses to guess once a second implementation is linked in. Another part of the process may have chosen.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let root_cert = Some(redis.ca.clone().into_bytes()).filter(|pem| !pem.is_empty());
    let client_tls = given(&redis.client_key).map(|key| ClientTlsConfig {
        client_cert: redis.client_cert.clone().into_bytes(),
        client_key: key.as_bytes().to_vec(),
    });
    if root_cert.is_none() && client_tls.is_none() {
        return Ok(info);
    }
    Ok(Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })?.get_connection_info().clone())
}

/// What to do about a handshake that failed, by what the TLS library says of it.
pub(super) fn advice(error: &str) -> Option<&'static str> {
    let known = [
        (
            "UnknownIssuer",
            "set redis.ca (or redis.ca_file) to the authority that signed the server's certificate",
        ),
        (
            "BadSignature",
            "set redis.ca to the authority that signed the server's certificate, not to one of the same name",
        ),
        (
            "NotValidForName",
            "call the server by a name that its certificate has, or give it a certificate for this name",
        ),
        (
            "not valid for name",
            "call the server by a name that its certificate has, or give it a certificate for this name",
        ),
        ("Expired", "the server's certificate is out of date: renew it"),
        ("certificate expired", "the server's certificate is out of date: renew it"),
        (
            "CertificateRequired",
            "the server asks for a certificate: set redis.client_cert and redis.client_key",
        ),
        (
            "CertificateUnknown",
            "the server does not accept redis.client_cert: its authority must have signed it",
        ),
        ("UnknownCA", "the server does not accept redis.client_cert: its authority must have signed it"),
        ("DecryptError", "the server does not accept redis.client_cert: its authority must have signed it"),
        (
            "InvalidContentType",
            "the server does not speak TLS on this port: write redis:// or use its TLS port",
        ),
    ];
    known.iter().find(|(sign, _)| error.contains(sign)).map(|(_, advice)| *advice)
}
