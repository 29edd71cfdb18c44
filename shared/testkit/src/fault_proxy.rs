//! A network between a process and a server, and what goes wrong with it while the test looks on.
//!
//! Listens on TCP and forwards to a unix socket, such as that of [`crate::RedisServer`]. Each direction has a mode
//! that can be changed at any time; connections can be cut.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// Bytes that one direction forwards at a time.
const CHUNK_BYTES: usize = 64 * 1_024;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Each piece so much later.
    Delay(Duration),
    /// They are kept back, and go on when the mode changes: a network that is away for a while.
    Hold,
    /// They are lost. A connection that lost any is closed when the mode changes, as TCP would have it.
    Swallow,
}

/// The proxy; gone when dropped, with all of its connections.
pub struct FaultProxy {
    address: SocketAddr,
    network: Arc<Network>,
    accepting: JoinHandle<()>,
}

struct Network {
    server: PathBuf,
    to_server: watch::Sender<Mode>,
    to_client: watch::Sender<Mode>,
    /// Counts cuts; whoever sees it change closes.
    cuts: watch::Sender<u64>,
    refusing: watch::Sender<bool>,
    severed: AtomicU64,
}

impl FaultProxy {
    /// In front of the server that listens at `server`.
    pub async fn start(server: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let network = Arc::new(Network {
            server: server.to_owned(),
            to_server: watch::Sender::new(Mode::Pass),
            to_client: watch::Sender::new(Mode::Pass),
            cuts: watch::Sender::new(0),
            refusing: watch::Sender::new(false),
            severed: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(Arc::clone(&network).accept(listener));
        Ok(Self { address, network, accepting })
    }

    /// `redis://127.0.0.1:PORT`
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// From now on, also for connections that stand.
    pub fn set(&self, direction: Direction, mode: Mode) {
        self.network.mode(direction).send_replace(mode);
    }

    /// Closes all connections.
    pub fn cut(&self) {
        self.network.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes all connections and every new one, or lets new ones in again.
    pub fn refuse(&self, refusing: bool) {
        self.network.refusing.send_replace(refusing);
        if refusing {
            self.cut();
        }
    }

    /// Everything as it was at the start; what was swallowed stays lost.
    pub fn heal(&self) {
        self.set(Direction::ToServer, Mode::Pass);
        self.set(Direction::ToClient, Mode::Pass);
        self.refuse(false);
    }

    /// Connections that a fault has closed so far.
    pub fn severed(&self) -> u64 {
        self.network.severed.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Network {
    fn mode(&self, direction: Direction) -> &watch::Sender<Mode> {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((client, _)) = listener.accept().await {
            if !*self.refusing.borrow() {
                tokio::spawn(Arc::clone(&self).connect(client));
            }
        }
    }

    async fn connect(self: Arc<Self>, client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let _ = client.set_nodelay(true);
        let Ok(server) = UnixStream::connect(&self.server).await else { return };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::select! {
            () = self.pump(Direction::ToServer, &mut from_client, &mut to_server) => {}
            () = self.pump(Direction::ToClient, &mut from_server, &mut to_client) => {}
            _ = cuts.changed() => {
                self.severed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Forwards until one side ends, or until lost bytes would show.
    async fn pump(
        &self,
        direction: Direction,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
    ) {
        let mut mode = self.mode(direction).subscribe();
        let mut bytes = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            let now = *mode.borrow_and_update();
            match now {
                Mode::Pass => {}
                Mode::Delay(delay) => tokio::time::sleep(delay).await,
                Mode::Hold => {
                    if mode.wait_for(|mode| *mode != Mode::Hold).await.is_err() {
                        return;
                    }
                }
                Mode::Swallow => {
                    // Whatever else comes is lost too; the other direction goes on.
                    let _ = mode.wait_for(|mode| *mode != Mode::Swallow).await;
                    self.severed.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            if to.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use redis::{AsyncConnectionConfig, RedisResult, aio::MultiplexedConnection};

    use super::*;
    use crate::RedisServer;

    async fn connected(proxy: &FaultProxy) -> MultiplexedConnection {
        let client = redis::Client::open(proxy.redis_url()).unwrap();
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_millis(300)));
        client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
    }

    async fn count(connection: &mut MultiplexedConnection) -> RedisResult<u64> {
        redis::cmd("INCR").arg("n").query_async(connection).await
    }

    fn executed(redis: &RedisServer) -> u64 {
        redis.command::<Option<u64>>(&["GET", "n"]).unwrap().unwrap_or(0)
    }

    #[tokio::test]
    async fn an_answer_that_is_swallowed_belongs_to_a_command_that_was_executed() {
        let redis = RedisServer::start().unwrap();
        let proxy = FaultProxy::start(&redis.socket()).await.unwrap();
        let mut connection = connected(&proxy).await;
        assert_eq!(count(&mut connection).await.unwrap(), 1);
        proxy.set(Direction::ToClient, Mode::Swallow);
        assert!(count(&mut connection).await.unwrap_err().is_timeout());
        assert_eq!(executed(&redis), 2);
        // No later answer is ever taken for the one that was lost.
        proxy.heal();
        assert!(count(&mut connection).await.is_err());
        assert_eq!(count(&mut connected(&proxy).await).await.unwrap(), executed(&redis));
        assert_eq!(proxy.severed(), 1);
    }

    #[tokio::test]
    async fn what_is_held_back_arrives_later_and_what_is_swallowed_never() {
        let redis = RedisServer::start().unwrap();
        let proxy = FaultProxy::start(&redis.socket()).await.unwrap();
        let mut connection = connected(&proxy).await;
        proxy.set(Direction::ToServer, Mode::Hold);
        assert!(count(&mut connection).await.unwrap_err().is_timeout());
        assert_eq!(executed(&redis), 0);
        proxy.heal();
        let began = Instant::now();
        while executed(&redis) == 0 {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        proxy.set(Direction::ToServer, Mode::Swallow);
        assert!(count(&mut connection).await.is_err());
        proxy.heal();
        assert_eq!(count(&mut connected(&proxy).await).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_cut_closes_what_stands_and_a_refusal_what_comes() {
        let redis = RedisServer::start().unwrap();
        let proxy = FaultProxy::start(&redis.socket()).await.unwrap();
        let mut connection = connected(&proxy).await;
        proxy.cut();
        assert!(count(&mut connection).await.is_err());
        proxy.refuse(true);
        let client = redis::Client::open(proxy.redis_url()).unwrap();
        assert!(client.get_multiplexed_async_connection().await.is_err());
        proxy.heal();
        proxy.set(Direction::ToClient, Mode::Delay(Duration::from_millis(20)));
        let mut connection = connected(&proxy).await;
        let began = Instant::now();
        count(&mut connection).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
