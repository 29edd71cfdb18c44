//! Which server is meant.

use crate::{Failure, config::GithubConfig};

/// Where repositories are cloned from, without a slash at its end: as configured, else told from the API's address.
pub(super) fn git_base(config: &GithubConfig) -> Result<String, Failure> {
    let given = config.git_base_url.trim_end_matches('/');
    if !given.is_empty() {
        return Ok(given.to_owned());
    }
    let api = config.base_url.trim_end_matches('/');
    if let Some(server) = api.strip_suffix("/api/v3") {
        return Ok(server.to_owned());
    }
    match api.split_once("://api.") {
        Some((scheme, host)) if !host.contains('/') => Ok(format!("{scheme}://{host}")),
        _ => Err(Failure::configuration(format!(
            "github.base_url {api} does not tell where repositories are cloned from: set github.git_base_url"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    fn told(base_url: &str, git_base_url: &str) -> Option<String> {
        let mut config = Config::defaults().unwrap().github;
        (config.base_url, config.git_base_url) = (base_url.to_owned(), git_base_url.to_owned());
        git_base(&config).ok()
    }

    #[test]
    fn the_git_server_is_told_from_the_apis_address() {
        for (api, git) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.acme.ghe.com/", "https://acme.ghe.com"),
            ("https://git.acme.example/api/v3/", "https://git.acme.example"),
        ] {
            assert_eq!(told(api, "").as_deref(), Some(git));
        }
        assert_eq!(told("http://127.0.0.1:8080", ""), None);
        assert_eq!(told("http://127.0.0.1:1", "http://127.0.0.1:2/").as_deref(), Some("http://127.0.0.1:2"));
    }
}
