//! Where one of several servers is: a sentinel, a node of a cluster.

use std::{fmt, str::FromStr};

/// A host with a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// A name or an address, an IPv6 one without its brackets.
    pub host: String,
    /// `None` where the text named none.
    pub port: Option<u16>,
}

/// The text is neither `host`, `host:port`, `[v6]` nor `[v6]:port`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a host with or without a port")]
pub struct InvalidServerAddress(String);

impl FromStr for ServerAddress {
    type Err = InvalidServerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidServerAddress(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(invalid)?;
                let port =
                    if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(invalid)?) };
                (host, port)
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose().map_err(|_| invalid())?;
        let in_brackets = text.starts_with('[');
        let plain = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') || (in_brackets && b == b':')
        };
        if host.is_empty() || !host.bytes().all(plain) || port == Some(0) {
            return Err(invalid());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_with_or_without_a_port_and_an_ipv6_address_in_brackets() {
        for text in ["redis-1.lan", "10.0.0.1:26379", "[fd00::1]", "[fd00::1]:7000"] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ":1",
            "h:",
            "h:0",
            "h:x",
            "h:70000",
            "fd00::1",
            "[fd00::1",
            "[fd00::1]7000",
            "redis://h:1",
            "u@h",
            "h h",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }
}
