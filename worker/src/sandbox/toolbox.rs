//! What agents and tests see of the machine: its tools, and an environment built from nothing.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use shared::{Failure, config::SandboxConfig};

use crate::{
    host::Host,
    workspace::{Owner, Workspace},
};

/// Directories of the system that are visible as they are.
pub(super) const SYSTEM_DIRS: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Tools that are found by a variable: its name, and the directory below the home that is meant without it.
const TOOL_HOMES: [(&str, &str); 3] =
    [("RUSTUP_HOME", "~/.rustup"), ("PYENV_ROOT", "~/.pyenv"), ("NVM_DIR", "~/.nvm")];

/// Variables whose value is a file or a directory of certificates.
const CERTIFICATES: [&str; 7] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
];

/// What is hidden from programs besides what their user cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// All but the system and the tools.
    ToolsOnly,
    /// Nothing; programs run as this user, or as the worker's own.
    Machine(Option<Owner>),
}

/// The visible tools and the environment they need.
pub(super) struct Toolbox {
    view: View,
    /// Directories besides the system's, read-only.
    dirs: Vec<PathBuf>,
    /// Certificates that a variable names which is passed on.
    certificates: Vec<PathBuf>,
    /// Where the caller finds programs, visible or not.
    callers_path: Vec<PathBuf>,
    path: Vec<PathBuf>,
    env: BTreeMap<String, OsString>,
}

impl Toolbox {
    /// `private` is the state directory, which no tool directory may contain.
    pub(super) fn new(
        config: &SandboxConfig,
        host: &Host,
        private: &Path,
        view: View,
    ) -> Result<Self, Failure> {
        let mut dirs = Vec::new();
        for text in &config.tool_paths {
            let Some(dir) = host.expand(text).filter(|dir| dir.is_absolute() && dir.exists()) else {
                continue;
            };
            let target = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            if view == View::ToolsOnly && private.starts_with(&target) {
                return Err(Failure::configuration(format!(
                    "sandbox.tool_paths: {text} contains the state directory {}, which agents must not see; \
                     name the tools' own directories",
                    private.display()
                )));
            }
            dirs.push(dir);
        }
        let passed = |name: &&&str| config.env_pass.iter().any(|pass| pass == **name);
        let certificates =
            CERTIFICATES.iter().filter(passed).filter_map(|name| host.var(name).map(PathBuf::from));
        let certificates = certificates.filter(|path| path.is_absolute() && path.exists()).collect();
        let callers_path = host.search_path();
        let mut toolbox =
            Self { view, dirs, certificates, callers_path, path: Vec::new(), env: BTreeMap::new() };
        toolbox.path = toolbox.search_path();
        toolbox.env = toolbox.tool_environment(host, config);
        Ok(toolbox)
    }

    pub(super) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Certificates outside of the visible system.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &Path> {
        self.certificates.iter().map(PathBuf::as_path).filter(|path| !self.shows(path))
    }

    /// A program that agents and tests find.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().find_map(|dir| executable(&dir.join(name)))
    }

    /// A program that the caller would find, visible or not.
    pub(super) fn find_for_caller(&self, name: &str) -> Option<PathBuf> {
        self.callers_path.iter().find_map(|dir| executable(&dir.join(name)))
    }

    /// Whether programs can reach `path`.
    pub(super) fn shows(&self, path: &Path) -> bool {
        match self.view {
            View::ToolsOnly => is_system(path) || self.dirs.iter().any(|dir| path.starts_with(dir)),
            View::Machine(Some(owner)) => owner.reaches(path),
            View::Machine(None) => true,
        }
    }

    /// Everything but `TMPDIR`. The home belongs to the workspace, and with it every tool's cache.
    pub(super) fn environment(&self, workspace: &Workspace) -> BTreeMap<String, OsString> {
        let mut env = self.env.clone();
        let home = workspace.home();
        env.insert("CARGO_HOME".to_owned(), home.join(".cargo").into_os_string());
        env.insert("HOME".to_owned(), home.into_os_string());
        env
    }

    /// The caller's own order where its directories are visible, then the tools', then the system's.
    fn search_path(&self) -> Vec<PathBuf> {
        let callers = self.callers_path.iter().cloned();
        let (system, named): (Vec<_>, Vec<_>) = callers.partition(|dir| is_system(dir));
        let tools = self.dirs.iter().flat_map(|dir| bin_dirs(dir));
        let mut path: Vec<PathBuf> = Vec::new();
        for dir in named.into_iter().chain(tools).chain(system) {
            if !path.contains(&dir) && dir.is_dir() && self.shows(&dir.join("any")) {
                path.push(dir);
            }
        }
        path
    }

    fn tool_environment(&self, host: &Host, config: &SandboxConfig) -> BTreeMap<String, OsString> {
        let mut env = BTreeMap::new();
        let path = std::env::join_paths(self.path.iter().filter(|dir| !has_colon(dir))).unwrap_or_default();
        env.insert("PATH".to_owned(), path);
        for (name, value) in [("LANG", "C.UTF-8"), ("SHELL", "/bin/sh"), ("TERM", "dumb")] {
            env.insert(name.to_owned(), value.into());
        }
        for (name, usual) in TOOL_HOMES {
            let named = host.var(name).map(PathBuf::from);
            let dir = named.or_else(|| host.expand(usual)).filter(|dir| self.shows(dir) && dir.is_dir());
            if let Some(dir) = dir {
                env.insert(name.to_owned(), dir.into_os_string());
            }
        }
        for name in &config.env_pass {
            if let Some(value) = host.var(name) {
                env.insert(name.clone(), value.to_owned());
            }
        }
        env
    }
}

fn is_system(path: &Path) -> bool {
    SYSTEM_DIRS.iter().any(|dir| path.starts_with(dir))
}

fn has_colon(dir: &Path) -> bool {
    dir.as_os_str().as_encoded_bytes().contains(&b':')
}

/// Where the programs of a tool directory lie.
fn bin_dirs(dir: &Path) -> Vec<PathBuf> {
    if dir.ends_with("bin") {
        return vec![dir.to_owned()];
    }
    let mut dirs = vec![dir.join("shims"), dir.join("bin")];
    dirs.extend(newest_node(&dir.join("versions/node")).map(|version| version.join("bin")));
    dirs.retain(|dir| dir.is_dir());
    dirs
}

/// The newest of nvm's versions: directories such as `v20.11.1`.
fn newest_node(versions: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(versions).ok()?;
    let numbered = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.strip_prefix('v')?.to_owned();
        let numbers: Option<Vec<u32>> = name.split('.').map(|part| part.parse().ok()).collect();
        Some((numbers?, path))
    });
    numbered.max().map(|(_, path)| path)
}

/// `path` where it is a file that may be run.
pub(super) fn executable(path: &Path) -> Option<PathBuf> {
    let metadata = fs::metadata(path).ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;

    #[test]
    fn a_tool_path_that_would_show_the_state_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("home/.local/state/claude-cluster");
        fs::create_dir_all(&state).unwrap();
        let mut config = Config::defaults().unwrap().sandbox;
        config.tool_paths = vec![dir.path().join("home").display().to_string()];
        let refused = Toolbox::new(&config, &Host::from(PathBuf::from("/x")), &state, View::ToolsOnly);
        assert!(refused.err().unwrap().message.contains("state directory"));
    }

    #[test]
    fn the_newest_node_is_found_by_number_not_by_letter() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["v9.11.0", "v20.1.0", "v20.11.1", "system"] {
            fs::create_dir_all(dir.path().join(version).join("bin")).unwrap();
        }
        assert!(newest_node(dir.path()).unwrap().ends_with("v20.11.1"));
    }

    #[test]
    fn only_named_variables_pass() {
        let host = Host::new(
            PathBuf::from("/x"),
            [("HTTPS_PROXY", "http://proxy"), ("GITHUB_TOKEN", "ghp_secret"), ("HOME", "/nowhere")]
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        );
        let config = Config::defaults().unwrap().sandbox;
        let toolbox = Toolbox::new(&config, &host, Path::new("/state"), View::ToolsOnly).unwrap();
        assert!(toolbox.env.contains_key("HTTPS_PROXY"));
        assert!(!toolbox.env.contains_key("GITHUB_TOKEN"));
    }
}
