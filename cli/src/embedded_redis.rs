//! The private redis-server of a user: used wherever no `redis.url` is configured.
//!
//! It works in the state directory, listens on a unix socket there that only its user can reach, and appends every
//! change to a file. One process owns it by holding a lock, starts it as a child and ends it with itself; all others
//! join through the socket. When an owner goes (also by `kill -9`: the kernel frees the lock and ends the server), a
//! process that serves takes over and starts the server again on the same files.

mod binary;
mod error;
mod left_over;
mod ownership;
mod place;
mod server;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use shared::retry::Backoff;

pub use binary::RedisBinary;
pub use error::EmbeddedRedisError;

use left_over::end_left_over_servers;
use ownership::{OwnerSays, Ownership};
use place::{Place, Probe};
use server::Server;

/// How often a process that joined looks whether the owner is gone, and an owner whether its server still runs.
const LOOK: Duration = Duration::from_millis(200);

/// How often a process looks that waits for its first answer.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// How long an owner may take until its server answers others; longer than it waits for a left-over server.
const OWNER_PATIENCE: Duration = Duration::from_secs(60);

/// How long an owner that runs one command is waited for, to be followed instead of joined.
const PASSING_PATIENCE: Duration = Duration::from_secs(3);

/// Waits before a server that ended unexpectedly is started again.
const RESTART: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// What a process needs the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// For as long as the process lives: it takes over when the owner goes.
    Serve,
    /// For one command, which may leave something behind.
    Use,
    /// To read what is there. Where no server ever ran there is nothing to read.
    Read,
}

/// This process' share in the private redis-server. Close it last: queues use the socket until then.
pub struct EmbeddedRedis {
    url: String,
    stop: Sender<()>,
    guardian: Option<JoinHandle<()>>,
}

impl EmbeddedRedis {
    /// Joins the server that works in `dir`, or starts it. Returns when it serves.
    ///
    /// `path` is the `PATH` on which redis-server is looked for. Blocks; on a busy disk for seconds.
    pub fn open(dir: &Path, need: Need, path: Option<String>) -> Result<Self, EmbeddedRedisError> {
        let place = Place::create(dir)?;
        if need == Need::Read && !place.has_data() && place.probe() == Probe::Silent {
            return Err(EmbeddedRedisError::NeverRan);
        }
        let url = place.url();
        let (stop, stopped) = channel();
        let (ready, when_ready) = sync_channel(1);
        let guardian = Guardian { place, need, path, stopped, ready: Some(ready) };
        let guardian = thread::Builder::new()
            .name("private-redis".to_owned())
            .spawn(move || guardian.guard())
            .map_err(EmbeddedRedisError::io("start a thread"))?;
        let opened = Self { url, stop, guardian: Some(guardian) };
        let silent = || EmbeddedRedisError::OwnerSilent { dir: dir.to_owned() };
        when_ready.recv().map_err(|_| silent())??;
        Ok(opened)
    }

    /// The `redis.url` that leads to it, valid within this process while `self` lives.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends this process' share; an owner ends the server. Blocks until that is done.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(());
        if let Some(guardian) = self.guardian.take()
            && guardian.join().is_err()
        {
            tracing::error!("the thread that keeps the private redis-server has panicked");
        }
    }
}

impl Drop for EmbeddedRedis {
    fn drop(&mut self) {
        if self.guardian.is_some() {
            self.end();
        }
    }
}

/// The thread that waits for the ownership, and with it keeps the server. It lives as long as the share does,
/// because the kernel ends the server with the thread that started it.
struct Guardian {
    place: Place,
    need: Need,
    path: Option<String>,
    stopped: Receiver<()>,
    /// Told once, when the server first serves or cannot be had.
    ready: Option<SyncSender<Result<(), EmbeddedRedisError>>>,
}

impl Guardian {
    fn guard(mut self) {
        let began = Instant::now();
        loop {
            match Ownership::take(self.place.dir()) {
                Ok(Some(ownership)) => return self.own(&ownership),
                Ok(None) => {}
                Err(error) => return self.announce(Err(error)),
            }
            if self.ready.is_some() {
                // Joining a server that ends in a moment would be a failure in the next.
                let stays = match OwnerSays::read(self.place.dir()) {
                    OwnerSays::Unready => false,
                    OwnerSays::Serving => true,
                    OwnerSays::Passing => began.elapsed() > PASSING_PATIENCE,
                };
                if stays && self.place.probe() == Probe::Ready {
                    self.announce(Ok(()));
                } else if began.elapsed() > OWNER_PATIENCE {
                    let dir = self.place.dir().to_owned();
                    return self.announce(Err(EmbeddedRedisError::OwnerSilent { dir }));
                }
            }
            let joined = self.ready.is_none();
            if joined && self.need != Need::Serve {
                let _ = self.stopped.recv();
                return;
            }
            if self.told_to_stop_within(if joined { LOOK } else { FIRST_LOOK }) {
                return;
            }
        }
    }

    /// Keeps a server running until told to stop, then ends it. The ownership outlives the server.
    fn own(&mut self, ownership: &Ownership) {
        let says = if self.need == Need::Serve { OwnerSays::Serving } else { OwnerSays::Passing };
        let mut failures = 0;
        loop {
            let began = Instant::now();
            match self.start() {
                Ok(mut server) => {
                    self.announce(ownership.say(says));
                    let told_to_stop = self.watch(&mut server);
                    // Before it ends: whoever asks from now on waits for the next one.
                    let said = ownership.say(OwnerSays::Unready);
                    if let Err(error) = said {
                        tracing::debug!(%error, "the others learn it from the socket");
                    }
                    if told_to_stop {
                        server.stop();
                        return;
                    }
                }
                Err(error) if self.ready.is_some() => return self.announce(Err(error)),
                Err(error) => tracing::error!(%error, "the private redis-server cannot be started again"),
            }
            failures = if began.elapsed() > RESTART.cap { 0 } else { failures + 1 };
            if self.told_to_stop_within(RESTART.delay(failures)) {
                return;
            }
        }
    }

    fn start(&self) -> Result<Server, EmbeddedRedisError> {
        let binary = RedisBinary::find(self.path.as_deref())?;
        end_left_over_servers(self.place.dir())?;
        let server = Server::start(&binary, &self.place)?;
        tracing::debug!(version = binary.version, dir = %self.place.dir().display(), "private redis-server started");
        Ok(server)
    }

    /// Waits while the server runs; `true` when it was told to stop, `false` when the server has ended by itself.
    fn watch(&self, server: &mut Server) -> bool {
        loop {
            if self.told_to_stop_within(LOOK) {
                return true;
            }
            if let Some(status) = server.exited() {
                tracing::warn!(%status, "the private redis-server ended by itself and is started again");
                return false;
            }
        }
    }

    fn told_to_stop_within(&self, wait: Duration) -> bool {
        !matches!(self.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    fn announce(&mut self, result: Result<(), EmbeddedRedisError>) {
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(result);
        }
    }
}
