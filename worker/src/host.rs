//! What the machine and the caller lend to runs. The command line makes it: a library reads no environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use nix::unistd::{User, geteuid};

/// Searched where the caller names no `PATH`, and always at the end.
pub(crate) const SYSTEM_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The supervisor program, the user's home and the environment from which `sandbox.env_pass` chooses.
#[derive(Clone, Debug)]
pub struct Host {
    supervisor: PathBuf,
    home: Option<PathBuf>,
    environment: BTreeMap<OsString, OsString>,
}

impl Host {
    /// `supervisor` is a program that, called as `supervisor supervise -- ...`, runs [`crate::supervise::main`].
    pub fn new(supervisor: PathBuf, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let environment: BTreeMap<_, _> = environment.into_iter().collect();
        let named = environment.get(OsStr::new("HOME")).map(PathBuf::from).filter(|home| home.is_absolute());
        let home = named.or_else(|| User::from_uid(geteuid()).ok().flatten().map(|user| user.dir));
        Self { supervisor, home, environment }
    }

    pub(crate) fn supervisor(&self) -> &Path {
        &self.supervisor
    }

    pub(crate) fn var(&self, name: &str) -> Option<&OsStr> {
        self.environment.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The absolute directories of the caller's `PATH`, then the system's.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let named = self.var("PATH").map(std::env::split_paths).into_iter().flatten();
        let mut path: Vec<PathBuf> = Vec::new();
        for dir in named.chain(SYSTEM_PATH.iter().map(PathBuf::from)) {
            if dir.is_absolute() && !path.contains(&dir) {
                path.push(dir);
            }
        }
        path
    }

    /// `text` as a path, with a leading `~` for the user's home; `None` where that is not known.
    pub(crate) fn expand(&self, text: &str) -> Option<PathBuf> {
        match text.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) => Some(self.home.as_ref()?.join(rest.strip_prefix('/')?)),
            None => Some(PathBuf::from(text)),
        }
    }
}

/// A host without an environment: the system's `PATH`, the home that the password file names.
impl From<PathBuf> for Host {
    fn from(supervisor: PathBuf) -> Self {
        Self::new(supervisor, [])
    }
}
