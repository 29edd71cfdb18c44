//! Secrets that others must know: configured, or made once and kept in the state directory.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use tracing::info;

/// Random bytes in a secret of our own making.
const SECRET_BYTES: usize = 32;

/// Fewest characters that a kept secret may have; fewer means that the file was damaged.
const SECRET_CHARS_MIN: usize = 16;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot make the {what} at {path}: {source}")]
    Make { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot read the {what} at {path}: {source}")]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the {what} at {path} is damaged; delete the file and a new one is made")]
    Damaged { what: &'static str, path: PathBuf },
}

/// The configured secret, else the one kept at `path`, else a new one kept there. `what` is its name for people.
pub fn load_or_make(
    what: &'static str,
    configured: &SecretString,
    path: &Path,
) -> Result<SecretString, SecretError> {
    if let Some(secret) = shared::config::given(configured) {
        return Ok(SecretString::from(secret));
    }
    let kept = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(|source| SecretError::Make { what, path: path.to_owned(), source })?;
            fs::read_to_string(path)
        }
        other => other,
    };
    let kept = kept.map_err(|source| SecretError::Read { what, path: path.to_owned(), source })?;
    let secret = kept.trim();
    if secret.len() < SECRET_CHARS_MIN {
        return Err(SecretError::Damaged { what, path: path.to_owned() });
    }
    info!(path = %path.display(), "the {what} is in this file");
    Ok(SecretString::from(secret))
}

/// Makes the file, unless another process was faster.
///
/// The file appears whole or not at all, so that two ingesters that start at once, or one that dies in
/// between, never see half a secret or two different ones.
fn make(path: &Path) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut random = [0_u8; SECRET_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    // Temporary files are made with mode 600.
    let mut file = tempfile::Builder::new().prefix("secret.").tempfile_in(dir)?;
    writeln!(file, "{}", hex::encode(random))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => File::open(dir)?.sync_all(),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(refused) => Err(refused.error),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Barrier, thread};

    use secrecy::ExposeSecret;

    use super::*;

    fn load(configured: &str, path: &Path) -> Result<SecretString, SecretError> {
        load_or_make("webhook secret", &SecretString::from(configured), path)
    }

    #[test]
    fn starts_at_the_same_moment_agree_on_one_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let together = Barrier::new(8);
        let secrets: Vec<String> = thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        load("", &path).unwrap().expose_secret().to_owned()
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0] && secret.len() == 64));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_configured_secret_leaves_the_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert_eq!(load("configured", &path).unwrap().expose_secret(), "configured");
        assert!(!path.exists());
    }

    #[test]
    fn an_emptied_file_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "\n").unwrap();
        let error = load("", &path).unwrap_err();
        assert!(error.to_string().contains("delete the file"), "{error}");
    }
}
