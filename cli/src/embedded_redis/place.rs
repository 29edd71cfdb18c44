//! The directory of the private redis-server: its socket, its data.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use shared::state_dir::private_dir;

use super::EmbeddedRedisError;

/// Longest path of a unix socket, in bytes, without the final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How long one probe of the server may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

const SOCKET: &str = "redis.sock";

/// What a probe of the socket found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Ready,
    /// The server reads its files and answers nothing else yet.
    Loading,
    Silent,
}

/// A directory that one redis-server at a time works in.
pub struct Place {
    dir: PathBuf,
    socket: PathBuf,
    /// Keeps `/proc/self/fd/<n>` alive where [`Self::socket`] leads through it.
    _handle: File,
}

impl Place {
    /// The place at `dir`, made if need be.
    pub fn create(dir: &Path) -> Result<Self, EmbeddedRedisError> {
        private_dir(dir).map_err(EmbeddedRedisError::io(format!("create {}", dir.display())))?;
        let open = || EmbeddedRedisError::io(format!("open {}", dir.display()));
        // Without links, as the kernel names the directory of a server that works there.
        let dir = dir.canonicalize().map_err(open())?;
        let handle = File::open(&dir).map_err(open())?;
        let through_handle = || PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd()));
        let socket = short_socket(&dir).unwrap_or_else(through_handle);
        Ok(Self { dir, socket, _handle: handle })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The `redis.url` that leads to the server, from within this process.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Whether a server has ever kept data here.
    pub fn has_data(&self) -> bool {
        self.dir.join("appendonlydir").is_dir()
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join("redis.log")
    }

    /// Asks the server whether it serves. The one command spoken outside the queue: it asks about the process, not
    /// about anything that the process holds.
    pub fn probe(&self) -> Probe {
        self.ping().unwrap_or(Probe::Silent)
    }

    fn ping(&self) -> io::Result<Probe> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
        stream.set_write_timeout(Some(PROBE_TIMEOUT))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(match &answer {
            b"+PONG" => Probe::Ready,
            b"-LOAD" => Probe::Loading,
            _ => Probe::Silent,
        })
    }
}

/// The socket's own path, where a socket address can hold it and a URL needs no escapes. Every other directory is
/// reached through this process' handle of it, whose path is always short and plain.
fn short_socket(dir: &Path) -> Option<PathBuf> {
    let socket = dir.join(SOCKET);
    let text = socket.to_str()?;
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'));
    (plain && text.len() <= SOCKET_PATH_BYTES_MAX).then(|| socket.clone())
}
