//! One run of the private redis-server, from start to end.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    EmbeddedRedisError, RedisBinary,
    place::{Place, Probe},
};
use crate::die_with_parent::die_with_parent;

/// How long a started server may stay silent. One that reads its files is not silent.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// How long a server may take to write out what it holds before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// How much of the server's log an error shows, in bytes.
const TAIL_BYTES_MAX: usize = 600;

/// A running server; ended by [`Self::stop`], and by the kernel when its thread ends.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts a server and waits until it serves. Call it on the thread that will also stop it.
    pub fn start(binary: &RedisBinary, place: &Place) -> Result<Self, EmbeddedRedisError> {
        let log_path = place.log();
        let log = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&log_path)
            .map_err(EmbeddedRedisError::io(format!("write {}", log_path.display())))?;
        let mut command = Command::new(&binary.program);
        command
            .args(["--port", "0", "--unixsocket", "redis.sock", "--unixsocketperm", "600", "--dir", "."])
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--aof-load-truncated", "yes"])
            .args(["--save", "", "--maxmemory-policy", "noeviction"])
            .args(["--daemonize", "no", "--loglevel", "warning"])
            // The directory of the server is how a later owner recognises it.
            .current_dir(place.dir())
            .env_clear()
            .stdin(Stdio::null())
            .stderr(log.try_clone().map_err(EmbeddedRedisError::io("share the server's log"))?)
            .stdout(log);
        die_with_parent(&mut command, Signal::SIGTERM);
        let what = format!("start {}", binary.program.display());
        let child = command.spawn().map_err(EmbeddedRedisError::io(what))?;
        let mut server = Self { child };
        if server.wait_until_ready(place) {
            return Ok(server);
        }
        server.stop();
        Err(EmbeddedRedisError::DidNotStart { log: log_path, tail: tail(place) })
    }

    fn wait_until_ready(&mut self, place: &Place) -> bool {
        let mut silent_since = Instant::now();
        while self.exited().is_none() {
            match place.probe() {
                Probe::Ready => return true,
                Probe::Loading => silent_since = Instant::now(),
                Probe::Silent if silent_since.elapsed() > START_PATIENCE => return false,
                Probe::Silent => {}
            }
            thread::sleep(POLL);
        }
        false
    }

    /// How it ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends the server; it writes out what it holds first.
    pub fn stop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && self.exited().is_none()
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.exited().is_none() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if self.exited().is_none() {
            tracing::warn!("the private redis-server did not end when asked and is killed");
            let _: io::Result<()> = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn tail(place: &Place) -> String {
    let text = std::fs::read(place.log()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let text = text.trim();
    let mut start = text.len().saturating_sub(TAIL_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    if text.is_empty() { "(nothing)".to_owned() } else { text[start..].to_owned() }
}
