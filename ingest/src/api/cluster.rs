//! The whole cluster at a glance: `/api/cluster/status`, `/api/queue/status` and `/status`.

use serde::Serialize;
use shared::{
    Specialty,
    queue::{Counts, Depth, Queue, QueueError, Waiting, Why},
    worker_info::WorkerState,
};
use warp::http::StatusCode;

use super::{Answer, Api, json, timestamp::Timestamp, written};

/// What `GET /api/cluster/status` answers.
#[derive(Serialize)]
pub struct ClusterStatus {
    nodes: Nodes,
    tasks: Tasks,
    node_details: Vec<Node>,
    specialties: Vec<SpecialtyCounts>,
}

#[derive(Serialize)]
struct Nodes {
    total: usize,
    online: usize,
    offline: usize,
}

/// Ended tasks are those that are still kept.
#[derive(Default, Serialize)]
struct Tasks {
    total: u64,
    pending: u64,
    active: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    held: u64,
    delayed: u64,
}

#[derive(Serialize)]
struct Node {
    #[serde(rename = "node_id")]
    id: String,
    host: Option<String>,
    port: Option<u16>,
    status: &'static str,
    specialties: Vec<Specialty>,
    current_tasks: usize,
    max_tasks: u32,
}

#[derive(Serialize)]
struct SpecialtyCounts {
    specialty: Specialty,
    #[serde(flatten)]
    counts: Counts,
    nodes_online: usize,
    waits_because: Option<String>,
}

#[derive(Serialize)]
struct QueueStatus {
    pending: u64,
    active: u64,
    delayed: u64,
    held: u64,
    /// Since when the oldest task has been in the queue that nobody works on.
    oldest_waiting_since: Option<Timestamp>,
    queues: Vec<SpecialtyQueue>,
}

#[derive(Serialize)]
struct SpecialtyQueue {
    specialty: Specialty,
    paused: bool,
    nodes_online: usize,
    pending: PendingCounts,
    active: u64,
    delayed: u64,
    held: u64,
    oldest_waiting_since: Option<Timestamp>,
    waits_because: Option<String>,
}

#[derive(Serialize)]
struct PendingCounts {
    total: u64,
    high: u64,
    medium: u64,
    low: u64,
}

#[derive(Serialize)]
struct Summary {
    status: &'static str,
    version: &'static str,
    redis: String,
    nodes: Nodes,
    tasks: Tasks,
    /// What somebody should look at, in words.
    attention: Vec<String>,
}

/// What the queue holds of one specialty.
struct Seen {
    specialty: Specialty,
    counts: Counts,
    nodes_online: usize,
    why: Option<Why>,
}

impl Seen {
    fn waits_because(&self) -> Option<String> {
        self.why.as_ref().map(ToString::to_string)
    }
}

struct Overview {
    workers: Vec<WorkerState>,
    specialties: Vec<Seen>,
}

impl Overview {
    async fn read(queue: &Queue) -> Result<Self, QueueError> {
        let workers = queue.workers().await?;
        let mut specialties = Vec::new();
        for specialty in queue.specialties().await? {
            let counts = queue.counts(&specialty).await?;
            let nodes_online = workers.iter().filter(|worker| worker.takes(&specialty)).count();
            let why = queue.why_specialty(&specialty, counts.pending, &workers).await?;
            specialties.push(Seen { specialty, counts, nodes_online, why });
        }
        Ok(Self { workers, specialties })
    }

    fn nodes(&self) -> Nodes {
        let online = self.workers.iter().filter(|w| matches!(w, WorkerState::Online(_))).count();
        Nodes { total: self.workers.len(), online, offline: self.workers.len() - online }
    }

    fn tasks(&self) -> Tasks {
        let mut tasks = Tasks::default();
        for Seen { counts, .. } in &self.specialties {
            tasks.pending += counts.pending;
            tasks.active += counts.active;
            tasks.completed += counts.completed;
            tasks.failed += counts.failed;
            tasks.cancelled += counts.cancelled;
            tasks.held += counts.held;
            tasks.delayed += counts.delayed;
        }
        let under_way = tasks.pending + tasks.active + tasks.held + tasks.delayed;
        tasks.total = under_way + tasks.completed + tasks.failed + tasks.cancelled;
        tasks
    }

    /// Where more waits than workers that are merely busy explain.
    fn attention(&self) -> Vec<String> {
        let stuck = self.specialties.iter().filter(|seen| !matches!(seen.why, Some(Why::Busy { .. })));
        stuck
            .filter_map(|seen| {
                let reason = seen.waits_because()?;
                Some(format!("{}: {} pending because {reason}", seen.specialty, seen.counts.pending))
            })
            .collect()
    }
}

impl From<WorkerState> for Node {
    fn from(worker: WorkerState) -> Self {
        match worker {
            WorkerState::Online(info) => Self {
                id: info.id,
                host: Some(info.hostname),
                port: info.port,
                status: "online",
                specialties: info.specialties,
                current_tasks: info.running.len(),
                max_tasks: info.slots,
            },
            WorkerState::Offline { id, .. } => Self {
                id,
                host: None,
                port: None,
                status: "offline",
                specialties: Vec::new(),
                current_tasks: 0,
                max_tasks: 0,
            },
        }
    }
}

impl Api {
    pub(super) async fn cluster_status(&self) -> Answer {
        let status = self.queue.look(|queue| async move { cluster_status(&queue).await }).await?;
        Ok(json(StatusCode::OK, &status))
    }

    pub(super) async fn queue_status(&self) -> Answer {
        let read = self.queue.look(|queue| async move {
            let overview = Overview::read(&queue).await?;
            let mut queues = Vec::with_capacity(overview.specialties.len());
            for seen in &overview.specialties {
                queues.push(of_queue(seen, queue.waiting(&seen.specialty).await?));
            }
            Ok((overview.tasks(), queues))
        });
        let (tasks, queues) = read.await?;
        let status = QueueStatus {
            pending: tasks.pending,
            active: tasks.active,
            delayed: tasks.delayed,
            held: tasks.held,
            oldest_waiting_since: queues.iter().filter_map(|queue| queue.oldest_waiting_since).min(),
            queues,
        };
        Ok(json(StatusCode::OK, &status))
    }

    pub(super) async fn status(&self) -> Answer {
        let read =
            self.queue.look(|queue| async move { Ok((queue.check().await?, Overview::read(&queue).await?)) });
        let (facts, overview) = read.await?;
        let summary = Summary {
            status: "ok",
            version: env!("CARGO_PKG_VERSION"),
            redis: crate::health::version(facts),
            nodes: overview.nodes(),
            tasks: overview.tasks(),
            attention: overview.attention(),
        };
        // Over several lines: this one is read by people.
        let text = serde_json::to_string_pretty(&summary).map(|text| written(text + "\n"));
        Ok(text.unwrap_or_else(|_| json(StatusCode::OK, &summary)))
    }
}

/// The cluster now.
pub async fn cluster_status(queue: &Queue) -> Result<ClusterStatus, QueueError> {
    let overview = Overview::read(queue).await?;
    let (nodes, tasks) = (overview.nodes(), overview.tasks());
    let of_specialty = |seen: Seen| SpecialtyCounts {
        waits_because: seen.waits_because(),
        specialty: seen.specialty,
        counts: seen.counts,
        nodes_online: seen.nodes_online,
    };
    Ok(ClusterStatus {
        nodes,
        tasks,
        node_details: overview.workers.into_iter().map(Node::from).collect(),
        specialties: overview.specialties.into_iter().map(of_specialty).collect(),
    })
}

fn of_queue(seen: &Seen, waiting: Waiting) -> SpecialtyQueue {
    let depths: [Depth; 3] = [waiting.high, waiting.medium, waiting.low];
    let [high, medium, low] = depths.map(|depth| depth.tasks);
    SpecialtyQueue {
        specialty: seen.specialty.clone(),
        paused: seen.counts.paused,
        nodes_online: seen.nodes_online,
        pending: PendingCounts { total: high + medium + low, high, medium, low },
        active: seen.counts.active,
        delayed: seen.counts.delayed,
        held: seen.counts.held,
        oldest_waiting_since: depths.iter().filter_map(|depth| depth.oldest_at).min().map(Timestamp),
        waits_because: seen.waits_because(),
    }
}
