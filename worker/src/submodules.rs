//! Submodules of a base branch: which there are, and which of them may be fetched from where.
//!
//! An address in a repository is written by whoever may push to it, and the worker's credentials may reach further
//! than those of that person. So only what lies on the repository's own host is fetched, and with credentials only
//! what a `[[repository]]` entry names; everything else as anybody could. Whatever form an address has, it is asked
//! for in the way in which the repository itself is reached: no path of this machine, no helper program, no
//! connection that is less safe.

use std::collections::BTreeMap;

use shared::{Failure, RepositoryName, config::Config};

use crate::{
    git::{Access, Git},
    mirror::{Base, is_object_name},
};

/// Submodules of one repository that are fetched; the others are told.
const SUBMODULES_MAX: usize = 50;

/// A submodule, as a tree and its `.gitmodules` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submodule {
    /// Below the top of the tree.
    pub path: String,
    pub commit: String,
    /// As `.gitmodules` says.
    url: String,
}

/// Where a submodule is fetched from.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub url: String,
    pub access: Option<&'a Access>,
}

/// All submodules that the base names, up to [`SUBMODULES_MAX`].
pub(crate) async fn named(
    git: &Git,
    mirror: &std::path::Path,
    base: &Base,
) -> Result<Vec<Submodule>, Failure> {
    let unread = |error: crate::git::GitError| error.into_failure("cannot read the submodules");
    let file = format!("{}:.gitmodules", base.commit);
    let ask = ["config", "--blob", &file, "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"];
    // A file that git cannot read names nothing.
    let settings = git.run_in(mirror, &ask).await.unwrap_or_default();
    let urls = urls_by_path(&settings);
    let paths: Vec<&str> = urls.keys().map(String::as_str).take(SUBMODULES_MAX).collect();
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let list = [&["ls-tree", "-z", &base.commit, "--"][..], &paths].concat();
    let entries = git.run_in(mirror, &list).await.map_err(unread)?;
    let found = entries.split('\0').filter_map(|entry| {
        let (facts, path) = entry.trim_start_matches('\n').split_once('\t')?;
        let commit = facts.strip_prefix("160000 commit ").filter(|name| is_object_name(name))?;
        Some(Submodule { path: path.to_owned(), commit: commit.to_owned(), url: urls.get(path)?.clone() })
    });
    Ok(found.collect())
}

/// Out of `key<line break>value<NUL>`, where a key is `submodule.<name>.path` or `.url`.
fn urls_by_path(settings: &str) -> BTreeMap<String, String> {
    let mut named: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for (key, value) in settings.split('\0').filter_map(|setting| setting.split_once('\n')) {
        let Some((name, field)) =
            key.trim_start().strip_prefix("submodule.").and_then(|key| key.rsplit_once('.'))
        else {
            continue;
        };
        let known = named.entry(name).or_default();
        match field {
            "path" => known.0 = Some(value),
            _ => known.1 = Some(value),
        }
    }
    let both = named.into_values().filter_map(|(path, url)| Some((path?.to_owned(), url?.to_owned())));
    both.filter(|(path, _)| is_plain(path)).collect()
}

/// Whether a path leads down into the tree and nowhere else, and is no option.
fn is_plain(path: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('-') && !matches!(part, "." | ".." | ".git");
    path.split('/').all(part) && !path.chars().any(char::is_control)
}

impl Submodule {
    /// Where to fetch it, seen from a repository at `parent` that `access` lets in. `Err` says why it is not fetched.
    pub(crate) fn source<'a>(
        &self,
        parent: &str,
        access: Option<&'a Access>,
        config: &Config,
    ) -> Result<Source<'a>, &'static str> {
        let here = Address::parse(parent).ok_or("the repository itself is not on a server")?;
        let path = if self.url.starts_with("./") || self.url.starts_with("../") {
            here.below(&self.url).ok_or("its address leads nowhere")?
        } else {
            let there = Address::parse(&self.url).ok_or("its address is not one of a server")?;
            if !there.is_same_host(&here) {
                return Err("it lies on another host");
            }
            there.path
        };
        if !is_plain(&path) {
            return Err("its address has an odd path");
        }
        let url = format!("{}{path}", here.prefix);
        let name = match access {
            Some(access) if url.starts_with(&format!("{}/", access.base_url)) => {
                path.trim_end_matches(".git").parse()
            }
            _ => url.parse::<RepositoryName>(),
        };
        let name = name.map_err(|_| "its address is not one of a repository")?;
        match config.repository_entry(&name) {
            Ok(Some(_)) => Ok(Source { url, access }),
            _ if here.is_http => Ok(Source { url, access: None }),
            _ => Err("no [[repository]] entry names it"),
        }
    }
}

/// A git URL in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    /// Up to the path: `https://host:port/`, or `git@host:`.
    prefix: String,
    host: String,
    port: Option<String>,
    /// Without a slash at its ends.
    path: String,
    is_http: bool,
}

impl Address {
    /// `None` of what is no `https`, `http` or `ssh` address.
    fn parse(url: &str) -> Option<Self> {
        let (scheme, authority, path) = match url.split_once("://") {
            Some((scheme @ ("https" | "http" | "ssh"), rest)) => {
                let (authority, path) = rest.split_once('/')?;
                (Some(scheme), authority, path)
            }
            Some(_) => return None,
            None => {
                let (authority, path) = url.split_once(':').filter(|(host, _)| host.contains('@'))?;
                (None, authority, path)
            }
        };
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port.to_owned())),
            _ => (server, None),
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':');
        if host.is_empty() || host.starts_with('-') || !host.bytes().all(named) {
            return None;
        }
        let prefix = match scheme {
            Some(scheme) => format!("{scheme}://{authority}/"),
            None => format!("{authority}:"),
        };
        let is_http = scheme.is_some_and(|scheme| scheme != "ssh");
        Some(Self {
            prefix,
            host: host.to_ascii_lowercase(),
            port,
            path: path.trim_matches('/').to_owned(),
            is_http,
        })
    }

    fn is_same_host(&self, other: &Self) -> bool {
        (&self.host, &self.port) == (&other.host, &other.port)
    }

    /// The path that `relative`, such as `../lib.git`, means from here.
    fn below(&self, relative: &str) -> Option<String> {
        let mut parts: Vec<&str> = self.path.split('/').collect();
        for part in relative.trim_end_matches('/').split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        (!parts.is_empty()).then(|| parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use shared::config::RepositoryConfig;

    use super::*;

    const PARENT: &str = "https://git.example/octo/cat.git";

    fn access() -> Access {
        Access { base_url: "https://git.example".to_owned(), token: "t".to_owned().into() }
    }

    fn config(patterns: &[&str]) -> Config {
        let mut config = Config::defaults().unwrap();
        let entry = |pattern: &&str| RepositoryConfig {
            pattern: (*pattern).to_owned(),
            ..RepositoryConfig::default()
        };
        config.repository = patterns.iter().map(entry).collect();
        config
    }

    /// Address and whether the token goes along.
    fn source(url: &str, parent: &str, patterns: &[&str]) -> Result<(String, bool), &'static str> {
        let submodule = Submodule { path: "lib".to_owned(), commit: "1".repeat(40), url: url.to_owned() };
        let access = access();
        let source = submodule.source(parent, Some(&access), &config(patterns))?;
        Ok((source.url, source.access.is_some()))
    }

    #[test]
    fn an_address_on_the_same_host_is_asked_for_as_the_repository_is() {
        for url in [
            "../lib.git",
            "./../lib.git",
            "../../octo/lib.git",
            "https://git.example/octo/lib.git",
            "http://GIT.example/octo/lib.git",
            "git@git.example:octo/lib.git",
            "ssh://git@git.example/octo/lib.git/",
        ] {
            let expected = Ok(("https://git.example/octo/lib.git".to_owned(), true));
            assert_eq!(source(url, PARENT, &["octo/*"]), expected, "{url}");
        }
        let over_ssh = source(
            "https://git.example/octo/lib",
            "git@git.example:octo/cat.git",
            &["git@git.example:octo/*"],
        );
        assert_eq!(over_ssh.unwrap().0, "git@git.example:octo/lib");
    }

    #[test]
    fn the_token_goes_along_only_where_an_entry_names_the_submodule() {
        let url = "../../secret/plans.git";
        let address = "https://git.example/secret/plans.git".to_owned();
        assert_eq!(source(url, PARENT, &[]), Ok((address.clone(), false)));
        assert_eq!(source(url, PARENT, &["octo/*"]), Ok((address.clone(), false)));
        assert_eq!(source(url, PARENT, &["octo/*", "secret/plans"]), Ok((address, true)));
        let keys = source("../plans.git", "git@git.example:octo/cat.git", &["octo/cat"]);
        assert!(keys.is_err(), "the worker's ssh keys are credentials, too");
    }

    #[test]
    fn nothing_else_is_fetched() {
        for url in [
            "https://other.example/octo/lib.git",
            "https://git.example:8443/octo/lib.git",
            "https://git.example@other.example/octo/lib.git",
            "https://git.example.other.example/octo/lib.git",
            "/srv/git/lib.git",
            "file:///srv/git/lib.git",
            "git://git.example/octo/lib.git",
            "ext::sh -c touch% /tmp/x",
            "ssh://-oProxyCommand=x/octo/lib.git",
            "https://git.example/../lib.git",
            "https://git.example/octo/-lib",
            "../../../lib.git",
            "../..",
            "",
        ] {
            assert!(source(url, PARENT, &["*"]).is_err(), "{url}");
        }
        assert!(source("../lib.git", "/srv/git/cat.git", &["*"]).is_err(), "no path of this machine");
        assert!(source("../lib.git", "file:///srv/git/cat.git", &["*"]).is_err());
    }

    #[test]
    fn names_with_dots_and_paths_that_lead_out_are_read_as_what_they_are() {
        let settings = "submodule.a.b.path\nlib\0submodule.a.b.url\n../b\0submodule.x.path\n../out\0\
                        submodule.x.url\n../x\0submodule.half.url\n../half\0";
        assert_eq!(urls_by_path(settings), [("lib".to_owned(), "../b".to_owned())].into());
    }
}
