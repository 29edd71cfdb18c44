//! The machine that a cluster is found by, as the project's first documents call it.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::{error::CommandError, session::Session};

/// The customary variables for the two options.
pub const HOST: &str = "COORDINATOR_HOST";
const PORT: &str = "COORDINATOR_PORT";

/// The port of a Redis whose URL names none.
const REDIS_PORT: u16 = 6379;

/// The port of the HTTP API, unless another is said.
const API_PORT: u16 = 8001;

/// Options of the commands that find a cluster by a machine.
#[derive(Clone, Debug, Args)]
pub struct CoordinatorArgs {
    /// The machine whose Redis is the cluster's: redis://HOST:6379, with redis.password (REDIS_PASSWORD). Instead of
    /// redis.url. COORDINATOR_HOST says the same where redis.url is not set.
    #[arg(long, value_name = "HOST", value_parser = host)]
    coordinator_host: Option<String>,
    /// The port of its HTTP API; COORDINATOR_PORT, else 8001. It is shown, and never needed.
    #[arg(long, value_name = "PORT")]
    coordinator_port: Option<u16>,
}

impl CoordinatorArgs {
    /// Makes the machine's Redis the session's, where one is named; returns where its HTTP API is to be expected.
    pub fn apply(&self, session: &mut Session) -> Option<String> {
        let host = self.host(session)?;
        let variable = session.environment.variables().get(PORT).and_then(|port| port.parse().ok());
        let port = self.coordinator_port.or(variable).unwrap_or(API_PORT);
        session.loaded.config.redis.url = format!("redis://{host}:{REDIS_PORT}").into();
        Some(format!("http://{host}:{port}"))
    }

    /// Refuses the options of a command that asks for a cluster only with `flag`, which is not given.
    pub fn refuse_without(&self, flag: &str) -> Result<(), CommandError> {
        if self.coordinator_host.is_none() && self.coordinator_port.is_none() {
            return Ok(());
        }
        Err(CommandError::Usage(format!("--coordinator-host and --coordinator-port need {flag}")))
    }

    fn host(&self, session: &Session) -> Option<String> {
        let named = || {
            let variable = session.environment.variables().get(HOST)?;
            // What says exactly where Redis is wins over what says on which machine.
            host(variable).ok().filter(|_| !session.config().redis.names_a_server())
        };
        self.coordinator_host.clone().or_else(named)
    }
}

/// A name or an address, in the form that a URL has it.
fn host(text: &str) -> Result<String, String> {
    if let Ok(IpAddr::V6(address)) = text.parse() {
        return Ok(format!("[{address}]"));
    }
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if plain && !text.is_empty() {
        return Ok(text.to_owned());
    }
    Err("is the name or the address of a machine, without scheme and port".to_owned())
}

/// An address to listen on: `localhost` and addresses, with a port.
pub fn listen_address(host: &str, port: u16) -> Result<SocketAddr, String> {
    let name = if host == "localhost" { "127.0.0.1" } else { host };
    let address: IpAddr = name.parse().map_err(|_| format!("'{host}' is no address of this machine"))?;
    Ok(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_and_nothing_else() {
        assert_eq!(host("192.168.1.100").as_deref(), Ok("192.168.1.100"));
        assert_eq!(host("coordinator").as_deref(), Ok("coordinator"));
        assert_eq!(host("fd00::1").as_deref(), Ok("[fd00::1]"));
        for bad in ["", "http://h", "h:6379", "u:p@h", "h/0", "a b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
