//! What every test here starts from.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use redis::FromRedisValue;
use shared::{
    Priority, Specialty, TaskId, TaskSpec,
    config::{Config, QueueConfig, RedisConfig},
    queue::{Claim, Claimed, Holder, Queue},
};
use testkit::{
    RedisServer,
    audit::{Audit, Limits},
    queue_clock,
};

use crate::ground::Ground;

/// A lease short enough to wait for; half of it is long enough for a busy machine not to make a gap of sweeps.
pub const LEASE_MS: u64 = 800;

static GROUND: OnceLock<Ground> = OnceLock::new();
static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// A queue under a prefix that no other test uses.
pub struct Setting {
    pub queue: Queue,
    pub prefix: String,
    /// A server of its own, where the shared one would be kept busy for too long.
    own: Option<RedisServer>,
}

fn ground() -> &'static Ground {
    GROUND.get_or_init(|| Ground::start().expect("redis-server starts"))
}

impl Setting {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than the defaults and the short lease.
    pub fn with(change: impl FnOnce(&mut QueueConfig)) -> Self {
        let prefix = format!("t{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        Self { queue: queue_on(|redis| ground().name(redis), &prefix, change), prefix, own: None }
    }

    /// On a server of its own, which keeps nothing on disk.
    pub fn alone(change: impl FnOnce(&mut QueueConfig)) -> Self {
        let own = RedisServer::start_with(&["--appendonly", "no"]).expect("redis-server starts");
        Self { queue: queue_at(&own.url(), "ccc", change), prefix: "ccc".to_owned(), own: Some(own) }
    }

    /// The server that has the keys of `backend`.
    fn server(&self) -> &RedisServer {
        self.own.as_ref().unwrap_or_else(|| ground().server())
    }

    /// A script with `backend`'s base as its key.
    pub fn script<T: FromRedisValue>(&self, text: &str, args: &[String]) -> T {
        let mut connection = self.server().connection().expect("a connection");
        let script = redis::Script::new(text);
        let mut call = script.key(format!("{}:{{backend}}:", self.prefix));
        call.arg(args).invoke(&mut connection).expect("the script runs")
    }

    /// Lets so much time pass for `backend`, as its scripts see it.
    pub fn pass(&self, time: Duration) {
        let mut connection = self.server().connection().expect("a connection");
        queue_clock::pass(&mut connection, &self.prefix, "backend", time.as_millis() as i64).expect("moved");
    }

    /// One raw command; `$` in a word stands for the prefix.
    pub fn redis<T: FromRedisValue>(&self, words: &str) -> T {
        let words: Vec<String> = words.split(' ').map(|word| word.replace('$', &self.prefix)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = match &self.own {
            Some(own) => own.command(&words),
            None => ground().command(&words),
        };
        answer.expect("the command runs")
    }

    /// Every key of this test with its value and its life in ms.
    pub fn dump(&self) -> Vec<(String, Vec<u8>, i64)> {
        let keys: Vec<String> = self.redis("KEYS $:*");
        let of = |key: String| {
            let value = self.server().command(&["DUMP", &key]).expect("the key is there");
            let life_ms: i64 = self.server().command(&["PTTL", &key]).expect("the key is there");
            (key, value, life_ms.max(0))
        };
        keys.into_iter().map(of).collect()
    }

    /// Makes everything as it was when `dump` was made.
    pub fn restore(&self, dump: &[(String, Vec<u8>, i64)]) {
        let mut connection = self.server().connection().expect("a connection");
        let mut pipe = redis::pipe();
        for key in self.redis::<Vec<String>>("KEYS $:*") {
            pipe.cmd("DEL").arg(key);
        }
        for (key, value, life_ms) in dump {
            pipe.cmd("RESTORE").arg(key).arg(life_ms).arg(value.as_slice());
        }
        pipe.query::<()>(&mut connection).expect("restored");
    }

    pub async fn enqueued(&self, id: &str) -> TaskId {
        let spec = task(id, "backend");
        self.queue.enqueue(&spec).await.expect("enqueued");
        spec.id
    }

    pub async fn claimed(&self, holder: &Holder) -> Claimed {
        let mut tasks = self.claim(holder, 1).await;
        assert_eq!(tasks.len(), 1, "one task is claimed");
        tasks.remove(0)
    }

    pub async fn claim(&self, holder: &Holder, slots: usize) -> Vec<Claimed> {
        match self.queue.claim(holder, &backend(), slots, "n").await.expect("claim") {
            Claim::Tasks { tasks, .. } => tasks,
            Claim::Paused => Vec::new(),
        }
    }

    pub async fn status(&self, id: &TaskId) -> String {
        self.queue.task(id).await.expect("task").expect("the task exists").status.name().to_owned()
    }

    /// Whether one server has all of this test's keys.
    pub fn has_everything(&self) -> bool {
        self.own.is_some() || ground().has_everything()
    }

    /// What all of this test's keys say together. On a cluster no server has all of them, and nothing is found.
    pub fn audit(&self) -> Audit {
        if !self.has_everything() {
            return Audit::default();
        }
        let settings = self.queue.settings();
        let limits = Limits {
            finished_count_max: settings.finished_count_max as usize,
            events_count_max: settings.events_count_max as usize,
            log_lines_max: settings.log_lines_max as usize,
            lost_workers_max: settings.lost_workers_max,
        };
        testkit::audit::audit(self.server(), &self.prefix, &limits).expect("the audit reads everything")
    }

    /// No lease, stream entry, returned, delayed or held task is left, and no effect is due.
    pub fn assert_drained(&self) {
        self.assert_no_task_under_way();
        assert_eq!(self.redis::<u64>("XLEN $:{backend}:outbox"), 0);
    }

    pub fn assert_no_task_under_way(&self) {
        for priority in Priority::ALL {
            assert_eq!(self.redis::<u64>(&format!("XLEN $:{{backend}}:tasks:{priority}")), 0);
        }
        for index in ["leases", "again", "delayed", "held"] {
            assert_eq!(self.redis::<u64>(&format!("ZCARD $:{{backend}}:{index}")), 0, "{index}");
        }
        assert_eq!(self.redis::<u64>("SCARD $:{backend}:direct"), 0);
    }
}

/// A queue with a short lease on the server at `url`.
pub fn queue_at(url: &str, prefix: &str, change: impl FnOnce(&mut QueueConfig)) -> Queue {
    queue_on(|redis| redis.url = url.into(), prefix, change)
}

/// A queue with a short lease on the server or servers that `name` writes into the configuration.
pub fn queue_on(
    name: impl FnOnce(&mut RedisConfig),
    prefix: &str,
    change: impl FnOnce(&mut QueueConfig),
) -> Queue {
    let mut config = Config::defaults().expect("defaults");
    name(&mut config.redis);
    config.redis.prefix = prefix.to_owned();
    config.redis.response_timeout_ms = 2_000;
    config.queue.lease_ms = LEASE_MS;
    config.queue.sweep_ms = 20;
    change(&mut config.queue);
    Queue::open(&config.redis, &config.queue).expect("the address is good")
}

pub fn backend() -> Specialty {
    "backend".parse().expect("a specialty")
}

pub fn task(id: &str, specialty: &str) -> TaskSpec {
    let repository = "octo/cat".parse().expect("a repository");
    TaskSpec {
        specialty: specialty.parse().expect("a specialty"),
        body: "the body".to_owned(),
        ..TaskSpec::new(id.parse().expect("an id"), repository, "a title")
    }
}

pub fn holder(node: &str) -> Holder {
    Holder { node: node.to_owned(), incarnation: format!("{node}-1") }
}
