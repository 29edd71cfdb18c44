//! The master that sentinels name: looked up, followed when it changes, and left when it was replaced.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

use super::{Node, Template, Timing};
use crate::config::{RedisConfig, ServerAddress};

const SENTINEL_PORT: u16 = 26_379;
const SERVER_PORT: u16 = 6_379;

/// Between two looks while all is well. A master that is cut off from its sentinels and not from us does not know
/// that it was replaced, and what it takes is lost: it is written to for no longer than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The same while most sentinels do not answer, which slows each look down.
const LOOK_EVERY_FEW: Duration = Duration::from_secs(10);

pub struct Sentinels {
    watchers: Vec<Arc<Node>>,
    service: String,
    of_server: Template,
    timing: Timing,
    known: Mutex<Option<Known>>,
}

struct Known {
    node: Arc<Node>,
    named: Named,
    look_at: Instant,
}

/// What a sentinel says of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    /// Grows with every failover, so that of two answers the later is known.
    epoch: u64,
    address: ServerAddress,
}

impl Sentinels {
    pub fn new(
        redis: &RedisConfig,
        of_sentinel: &Template,
        of_server: Template,
        timing: Timing,
    ) -> RedisResult<Self> {
        let watchers = redis.sentinels.iter().map(|text| {
            let address: ServerAddress = text.parse().map_err(io::Error::other)?;
            Ok(Arc::new(Node::new(of_sentinel.at(&address, SENTINEL_PORT)?, timing)?))
        });
        let watchers = watchers.collect::<RedisResult<_>>()?;
        Ok(Self { watchers, service: redis.service.clone(), of_server, timing, known: Mutex::default() })
    }

    /// The master as of a second ago at most, while sentinels answer. Without them the last one known goes on:
    /// it says itself, on each new connection, whether it leads.
    pub async fn master(&self) -> RedisResult<Arc<Node>> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && Instant::now() < known.look_at
        {
            return Ok(Arc::clone(&known.node));
        }
        let (answer, enough) = self.ask().await;
        let look_at = Instant::now() + if enough { LOOK_EVERY } else { LOOK_EVERY_FEW };
        match (answer, &mut *known) {
            // A sentinel that missed the failover does not lead back to the former master.
            (Ok(named), Some(known))
                if named.address == known.named.address || named.epoch < known.named.epoch =>
            {
                known.look_at = look_at;
                Ok(Arc::clone(&known.node))
            }
            (Ok(named), known) => {
                tracing::info!(master = %named.address, service = self.service, "the sentinels name the master");
                let info = self.of_server.at(&named.address, SERVER_PORT)?;
                let node = Arc::new(Node::leading(info, self.timing)?);
                *known = Some(Known { node: Arc::clone(&node), named, look_at });
                Ok(node)
            }
            (Err(error), Some(known)) => {
                tracing::debug!(%error, "the sentinels do not answer; the last master known is used");
                known.look_at = look_at;
                Ok(Arc::clone(&known.node))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The next operation asks the sentinels first.
    pub async fn ask_anew(&self) {
        if let Some(known) = &mut *self.known.lock().await {
            known.look_at = Instant::now();
        }
    }

    /// The latest of what the sentinels say, and whether most of them answered.
    async fn ask(&self) -> (RedisResult<Named>, bool) {
        let mut asked = JoinSet::new();
        for sentinel in &self.watchers {
            let (sentinel, service) = (Arc::clone(sentinel), self.service.clone());
            asked.spawn(async move { named(&sentinel, &service).await });
        }
        let mut latest: Option<Named> = None;
        let mut failure: Option<RedisError> = None;
        let mut answers = 0;
        while let Some(answer) = asked.join_next().await {
            match answer.map_err(io::Error::other).map_err(RedisError::from).flatten() {
                Ok(named) => {
                    answers += 1;
                    if latest.as_ref().is_none_or(|latest| latest.epoch < named.epoch) {
                        latest = Some(named);
                    }
                    // Those that are away are not waited for.
                    if answers * 2 > self.watchers.len() {
                        break;
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        let none = || io::Error::other("no sentinel answers").into();
        (latest.ok_or_else(|| failure.unwrap_or_else(none)), answers * 2 > self.watchers.len())
    }
}

async fn named(sentinel: &Node, service: &str) -> RedisResult<Named> {
    let mut command = redis::cmd("SENTINEL");
    command.arg("MASTER").arg(service);
    let answer = sentinel.send(&command).await.map_err(|error| match error.kind() {
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            (ErrorKind::MasterNameNotFoundBySentinel, "check redis.service", error.to_string()).into()
        }
        _ => error,
    })?;
    let fields: HashMap<String, String> = redis::from_redis_value(answer)?;
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let address = ServerAddress { host: field("ip").to_owned(), port: field("port").parse().ok() };
    Ok(Named { epoch: field("config-epoch").parse().unwrap_or(0), address })
}
