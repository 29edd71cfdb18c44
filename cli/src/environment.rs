//! The one place that reads the process' environment.

use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use nix::unistd::{User, geteuid, gethostname};

const PROGRAM: &str = "claude-cluster";

/// The environment as it was at start, and the directories that follow from it.
#[derive(Clone, Debug)]
pub struct Environment {
    all: Vec<(OsString, OsString)>,
    variables: HashMap<String, String>,
    home: Option<PathBuf>,
}

impl Environment {
    pub fn capture() -> Self {
        Self::new(env::vars_os().collect())
    }

    fn new(all: Vec<(OsString, OsString)>) -> Self {
        // What is not text is no setting of ours.
        let text = |(name, value): &(OsString, OsString)| {
            Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
        };
        let variables: HashMap<String, String> = all.iter().filter_map(text).collect();
        let named = variables.get("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = named.or_else(|| User::from_uid(geteuid()).ok().flatten().map(|user| user.dir));
        Self { all, variables, home }
    }

    /// Every variable, also those that are no text.
    pub fn all(&self) -> Vec<(OsString, OsString)> {
        self.all.clone()
    }

    pub fn variables(&self) -> &HashMap<String, String> {
        &self.variables
    }

    pub fn path(&self) -> Option<&str> {
        self.variables.get("PATH").map(String::as_str)
    }

    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// `$XDG_STATE_HOME/claude-cluster`, else `~/.local/state/claude-cluster`.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.directory("XDG_STATE_HOME", ".local/state")
    }

    /// `$XDG_CONFIG_HOME/claude-cluster`, else `~/.config/claude-cluster`.
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.directory("XDG_CONFIG_HOME", ".config")
    }

    /// Relative paths are invalid by the base directory specification and ignored, as it says.
    fn directory(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.variables.get(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let base = named.or_else(|| self.home.as_ref().map(|home| home.join(below_home)))?;
        Some(base.join(PROGRAM))
    }
}

/// Who started this process.
pub fn user() -> String {
    let user = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    user.unwrap_or_else(|| format!("user {}", geteuid()))
}

/// The first part of this machine's name, without what no worker's name may contain.
pub fn host_name() -> String {
    let name = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let first = name.split('.').next().unwrap_or_default();
    let plain: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if plain.is_empty() { "worker".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::new(pairs.iter().map(|(n, v)| (n.into(), v.into())).collect())
    }

    #[test]
    fn directories_follow_the_base_directory_specification() {
        let plain = environment(&[("HOME", "/home/me")]);
        assert_eq!(plain.state_dir().unwrap(), Path::new("/home/me/.local/state/claude-cluster"));
        assert_eq!(plain.config_dir().unwrap(), Path::new("/home/me/.config/claude-cluster"));
        let named =
            environment(&[("HOME", "/home/me"), ("XDG_STATE_HOME", "/s"), ("XDG_CONFIG_HOME", "relative")]);
        assert_eq!(named.state_dir().unwrap(), Path::new("/s/claude-cluster"));
        assert_eq!(named.config_dir().unwrap(), Path::new("/home/me/.config/claude-cluster"));
    }
}
