//! Who may ask for what.
//!
//! The token is what guards the cluster. Host and origin are looked at because of browsers: where reads need no
//! token, a page of another site must not be able to read through the browser of somebody who may (directly,
//! or with a name of its own that it lets point here).

use std::net::{IpAddr, SocketAddr};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use shared::config::ApiConfig;
use subtle::ConstantTimeEq;
use warp::http::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN},
    uri::Authority,
};

use super::{refusal::Refusal, route::Guard};

/// Headers by which a proxy tells that a request came from elsewhere.
const FORWARDED_FOR: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// Characters of a foreign host name that an answer repeats.
const HOST_CHARS_MAX: usize = 60;

/// What requests are checked against.
pub struct Access {
    token: Digested,
    on_loopback: bool,
    open_reads: bool,
    hosts: Vec<String>,
}

/// The token's digest: comparing digests tells nothing of the token's length, nor where a guess went wrong.
struct Digested([u8; 32]);

impl Digested {
    fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The host that a request was meant for.
enum Named {
    Loopback,
    Elsewhere,
}

impl Access {
    pub fn new(config: &ApiConfig, address: SocketAddr, token: &SecretString) -> Self {
        Self {
            token: Digested::of(token.expose_secret().as_bytes()),
            on_loopback: address.ip().is_loopback(),
            open_reads: config.open_reads,
            hosts: config.hosts.clone(),
        }
    }

    /// Whether a request with these headers may pass.
    pub fn check(&self, guard: Guard, headers: &HeaderMap) -> Result<(), Refusal> {
        if guard == Guard::Open {
            return Ok(());
        }
        let host = host(headers)?;
        let named = self.known(&host)?;
        same_origin(headers, &host)?;
        let free = guard == Guard::Read && (self.open_reads || self.is_local(&named, headers));
        if free { Ok(()) } else { self.token(headers) }
    }

    fn known(&self, host: &Authority) -> Result<Named, Refusal> {
        let name = host.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if name.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback()) {
            return Ok(Named::Loopback);
        }
        // An address cannot be made to point elsewhere, as a name can.
        let is_address = address.is_some() && !self.on_loopback;
        if is_address || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(Named::Elsewhere);
        }
        Err(Refusal::OtherHost(name.chars().take(HOST_CHARS_MAX).collect()))
    }

    /// Whether somebody on this machine asks: not what a proxy before a loopback address hands on.
    fn is_local(&self, named: &Named, headers: &HeaderMap) -> bool {
        let handed_on =
            headers.contains_key(FORWARDED) || FORWARDED_FOR.iter().any(|name| headers.contains_key(*name));
        self.on_loopback && matches!(named, Named::Loopback) && !handed_on
    }

    fn token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(AUTHORIZATION).ok_or(Refusal::NoToken)?.as_bytes();
        let (scheme, token) = given.split_at_checked(BEARER.len()).ok_or(Refusal::NoToken)?;
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return Err(Refusal::NoToken);
        }
        if self.token.is(&Digested::of(token.trim_ascii())) { Ok(()) } else { Err(Refusal::WrongToken) }
    }
}

const BEARER: &[u8] = b"Bearer ";

fn host(headers: &HeaderMap) -> Result<Authority, Refusal> {
    let mut given = headers.get_all(HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else { return Err(Refusal::NoHost) };
    let text = host.to_str().map_err(|_| Refusal::NoHost)?;
    text.parse().ok().filter(|_| !text.contains('@')).ok_or(Refusal::NoHost)
}

/// Every browser says from which page a request that changes something, or one to another site, comes.
fn same_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    for origin in headers.get_all(ORIGIN) {
        let page: Option<Uri> = origin.to_str().ok().and_then(|text| text.parse().ok());
        let same = page.as_ref().and_then(Uri::authority).is_some_and(|page| page == host);
        if !same {
            return Err(Refusal::OtherOrigin);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shared::config::Config;
    use warp::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(address: &str, change: impl FnOnce(&mut ApiConfig)) -> Access {
        let mut config = Config::defaults().unwrap().api;
        change(&mut config);
        Access::new(&config, address.parse().unwrap(), &SecretString::from(TOKEN))
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_loopback_listener_answers_reads_for_local_names_alone() {
        let access = access("127.0.0.1:8001", |_| ());
        for host in ["localhost", "LOCALHOST:8001", "127.0.0.1:8001", "127.0.0.1", "[::1]:9", "[::1]"] {
            assert!(access.check(Guard::Read, &headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in ["evil.example", "evil.example:8001", "localhost.evil.example", "10.0.0.1", "localhost."]
        {
            let refused = access.check(Guard::Read, &headers(&[("host", host)]));
            assert!(matches!(refused, Err(Refusal::OtherHost(_))), "{host}: {refused:?}");
        }
        for host in ["", "a b", "u@localhost", "http://localhost"] {
            let refused = access.check(Guard::Read, &headers(&[("host", host)]));
            assert!(matches!(refused, Err(Refusal::NoHost)), "{host}: {refused:?}");
        }
        let twice = headers(&[("host", "localhost"), ("host", "evil.example")]);
        assert!(matches!(access.check(Guard::Read, &twice), Err(Refusal::NoHost)));
        assert!(matches!(access.check(Guard::Read, &headers(&[])), Err(Refusal::NoHost)));
        assert!(access.check(Guard::Open, &headers(&[])).is_ok());
    }

    #[test]
    fn what_a_proxy_hands_to_loopback_needs_the_token() {
        let access = access("127.0.0.1:8001", |api| api.hosts = vec!["Cluster.example".to_owned()]);
        for more in ["x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-host"] {
            let handed_on = headers(&[("host", "127.0.0.1:8001"), (more, "10.0.0.7")]);
            assert!(matches!(access.check(Guard::Read, &handed_on), Err(Refusal::NoToken)), "{more}");
        }
        let named = headers(&[("host", "cluster.example")]);
        assert!(matches!(access.check(Guard::Read, &named), Err(Refusal::NoToken)));
        let with_token =
            headers(&[("host", "cluster.example"), ("authorization", "Bearer 0123456789abcdef")]);
        assert!(access.check(Guard::Read, &with_token).is_ok());
    }

    #[test]
    fn other_listeners_need_the_token_for_reads_unless_they_are_open() {
        let closed = access("0.0.0.0:8001", |_| ());
        let open = access("0.0.0.0:8001", |api| api.open_reads = true);
        for host in ["192.168.1.10:8001", "localhost:8001"] {
            let headers = headers(&[("host", host)]);
            assert!(matches!(closed.check(Guard::Read, &headers), Err(Refusal::NoToken)));
            assert!(open.check(Guard::Read, &headers).is_ok());
            assert!(matches!(open.check(Guard::Write, &headers), Err(Refusal::NoToken)));
        }
        let rebound = headers(&[("host", "evil.example")]);
        assert!(matches!(open.check(Guard::Read, &rebound), Err(Refusal::OtherHost(_))));
    }

    #[test]
    fn only_the_whole_token_counts() {
        let access = access("127.0.0.1:8001", |_| ());
        let with = |value: &str| {
            access.check(Guard::Write, &headers(&[("host", "localhost"), ("authorization", value)]))
        };
        assert!(with("Bearer 0123456789abcdef").is_ok());
        assert!(with("bearer  0123456789abcdef ").is_ok());
        for wrong in ["Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer ", "Bearer x"] {
            assert!(matches!(with(wrong), Err(Refusal::WrongToken)), "{wrong}");
        }
        for none in ["", "Basic 0123456789abcdef", "0123456789abcdef", "Bearer"] {
            assert!(matches!(with(none), Err(Refusal::NoToken)), "{none}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused_whatever_it_brings() {
        let access = access("127.0.0.1:8001", |_| ());
        let from = |origin: &str, guard| {
            let lines = [
                ("host", "localhost:8001"),
                ("origin", origin),
                ("authorization", "Bearer 0123456789abcdef"),
            ];
            access.check(guard, &headers(&lines))
        };
        assert!(from("http://localhost:8001", Guard::Write).is_ok());
        for other in
            ["http://localhost:3000", "https://evil.example", "null", "", "localhost:8001/", "file://"]
        {
            for guard in [Guard::Read, Guard::Write] {
                assert!(matches!(from(other, guard), Err(Refusal::OtherOrigin)), "{other}");
            }
        }
    }
}
