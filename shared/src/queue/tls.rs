//! Encrypted connections.

use std::sync::Once;

use redis::{Client, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates};

static PROVIDER: Once = Once::new();

/// `info`, which trusts the authority `ca` (PEM) instead of the system's where it is given. Nothing changes where the
/// address is not a `rediss://` one.
pub(super) fn prepared(info: ConnectionInfo, ca: &str) -> RedisResult<ConnectionInfo> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Ok(info);
    }
    // TLS refuses to guess once a second implementation is linked in. Another part of the process may have chosen.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    if ca.is_empty() {
        return Ok(info);
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.as_bytes().to_vec()) };
    Ok(Client::build_with_tls(info, certificates)?.get_connection_info().clone())
}
