//! Mirrors that many fetches have filled with small packs and single objects, each of which every look-up of an object
//! has to pass.

use std::{fs, io, path::Path};

use crate::{
    git::{Git, GitError},
    mirror,
    workspace::LockFile,
};

/// More packs than these make a mirror slow.
const PACKS_MAX: usize = 20;

/// More single objects than these in one of 256 directories, about 5,000 in all, do too.
const LOOSE_MAX: usize = 20;

/// Of a fetch that was killed.
const UNFINISHED: &str = "tmp_";

/// Joins what is small in the mirror at `path`, and clears away what killed fetches have left; `Ok(false)` where there
/// is nothing to do or somebody fetches. Nothing is lost by it, be it reachable or not, so that runs may go on
/// meanwhile: git looks for a pack that is gone among the others.
pub(super) async fn keep_up(git: &Git, path: &Path) -> Result<bool, GitError> {
    let Some(_fetches) = LockFile::try_acquire(&path.with_extension(mirror::LOCK))? else { return Ok(false) };
    let packs = path.join("objects/pack");
    for left_over in names(&packs)?.iter().filter(|name| name.starts_with(UNFINISHED)) {
        fs::remove_file(packs.join(left_over))?;
    }
    let is_pack = |name: &&String| Path::new(name).extension().is_some_and(|extension| extension == "pack");
    let count = names(&packs)?.iter().filter(is_pack).count();
    let loose = names(&path.join("objects/17"))?.len();
    if count <= PACKS_MAX && loose <= LOOSE_MAX {
        return Ok(false);
    }
    git.run_in(path, &["repack", "--quiet", "-d", "--geometric=2"]).await?;
    Ok(true)
}

/// Names in a directory; none where there is no such one.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
