//! Finding a program the way a shell would.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Where `PATH` leads when nothing sets it.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The executable file called `name` in the directories of `path`; a name with a slash is taken as it is.
pub fn find(name: &str, path: Option<&str>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|file| is_executable(file));
    }
    let path = path.unwrap_or(PATH_DEFAULT);
    env::split_paths(path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}
