//! The secret that webhooks are signed with: configured, or made once and kept.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::PathBuf,
};

use secrecy::SecretString;
use shared::{config::GithubConfig, state_dir::StateDir};
use tracing::info;

/// Random bytes in a secret of our own making.
const SECRET_BYTES: usize = 32;

/// Fewest characters that a kept secret may have; fewer means that the file was damaged.
const SECRET_CHARS_MIN: usize = 16;

/// Why there is no secret to check signatures with.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot make a webhook secret at {path}: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot read the webhook secret at {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the webhook secret at {path} is damaged; delete the file and a new one is made")]
    Damaged { path: PathBuf },
}

/// The configured secret, else the one kept in the state directory, else a new one kept there.
pub fn load_or_make(config: &GithubConfig, state_dir: &StateDir) -> Result<SecretString, SecretError> {
    if let Some(secret) = shared::config::given(&config.webhook_secret) {
        return Ok(SecretString::from(secret));
    }
    let path = state_dir.webhook_secret();
    let kept = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(state_dir).map_err(|source| SecretError::Make { path: path.clone(), source })?;
            fs::read_to_string(&path)
        }
        other => other,
    };
    let kept = kept.map_err(|source| SecretError::Read { path: path.clone(), source })?;
    let secret = kept.trim();
    if secret.len() < SECRET_CHARS_MIN {
        return Err(SecretError::Damaged { path });
    }
    info!(path = %path.display(), "the webhook secret is in this file; set it in the webhook's settings");
    Ok(SecretString::from(secret))
}

/// Makes the file, unless another process was faster.
///
/// The file appears whole or not at all, so that two ingesters that start at once, or one that dies in
/// between, never see half a secret or two different ones.
fn make(state_dir: &StateDir) -> io::Result<()> {
    let mut random = [0_u8; SECRET_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    // Temporary files are made with mode 600.
    let mut file = tempfile::Builder::new().prefix("webhook-secret.").tempfile_in(state_dir.path())?;
    writeln!(file, "{}", hex::encode(random))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(state_dir.webhook_secret()) {
        Ok(_) => File::open(state_dir.path())?.sync_all(),
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(refused) => Err(refused.error),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Barrier, thread};

    use secrecy::ExposeSecret;
    use shared::config::Config;

    use super::*;

    fn state_dir() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = StateDir::create(&dir.path().join("state")).unwrap();
        (dir, state_dir)
    }

    #[test]
    fn starts_at_the_same_moment_agree_on_one_secret() {
        let (_dir, state_dir) = state_dir();
        let github = Config::defaults().unwrap().github;
        let together = Barrier::new(8);
        let secrets: Vec<String> = thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        load_or_make(&github, &state_dir).unwrap().expose_secret().to_owned()
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0] && secret.len() == 64));
        let mode = fs::metadata(state_dir.webhook_secret()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(state_dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_configured_secret_leaves_the_state_directory_alone() {
        let (_dir, state_dir) = state_dir();
        let mut github = Config::defaults().unwrap().github;
        github.webhook_secret = SecretString::from("configured");
        assert_eq!(load_or_make(&github, &state_dir).unwrap().expose_secret(), "configured");
        assert!(!state_dir.webhook_secret().exists());
    }

    #[test]
    fn an_emptied_file_is_an_error_that_says_what_to_do() {
        let (_dir, state_dir) = state_dir();
        fs::write(state_dir.webhook_secret(), "\n").unwrap();
        let error = load_or_make(&Config::defaults().unwrap().github, &state_dir).unwrap_err();
        assert!(error.to_string().contains("delete the file"), "{error}");
    }
}
