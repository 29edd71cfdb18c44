//! The queue, as a request uses it: waited for only so long.

use std::{sync::Arc, time::Duration};

use shared::{
    TaskSpec,
    queue::{IssueEnqueued, Queue, QueueError, ServerFacts},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

/// How long a request waits for the queue. GitHub counts a delivery as failed after ten seconds, of which
/// the body may have used some.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// How long a change is tried again after an error that may pass. A webhook that fails is not sent again by
/// itself, so a short restart of Redis must not lose one.
const CHANGE_RETRY_TIME: Duration = Duration::from_secs(3);

/// The same for a look, which is to be honest: just enough to replace a connection that died unnoticed.
const LOOK_RETRY_TIME: Duration = Duration::from_millis(200);

const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Calls on the queue at a time, those included whose request no longer waits.
const CALLS_MAX: usize = 64;

/// A handle on the queue for requests. Clones share one limit.
#[derive(Clone)]
pub struct BoundedQueue {
    queue: Queue,
    calls: Arc<Semaphore>,
    running: TaskTracker,
}

/// Why there is no answer from the queue.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("no answer within {} s", ANSWER_TIME.as_secs())]
    TooSlow,
    #[error("{CALLS_MAX} requests wait for it already")]
    Crowded,
    #[error("the call was lost")]
    Lost,
}

impl BoundedQueue {
    pub fn new(queue: Queue) -> Self {
        Self { queue, calls: Arc::new(Semaphore::new(CALLS_MAX)), running: TaskTracker::new() }
    }

    /// See [`Queue::enqueue_issue`]. After an error the task may have been made all the same: the next
    /// delivery for the issue then finds it.
    pub async fn enqueue_issue(
        &self,
        spec: TaskSpec,
        delivery: Option<String>,
    ) -> Result<IssueEnqueued, Unavailable> {
        let own = spec.id.clone();
        let offer = Arc::new((spec, delivery));
        let enqueued = self.change(move |queue| {
            let offer = Arc::clone(&offer);
            async move { queue.enqueue_issue(&offer.0, offer.1.as_deref()).await }
        });
        match enqueued.await? {
            // An earlier try made it and its answer was lost.
            IssueEnqueued::Delivered { task } | IssueEnqueued::Duplicate { task } if task == own => {
                Ok(IssueEnqueued::Created)
            }
            other => Ok(other),
        }
    }

    /// See [`Queue::check`].
    pub async fn check(&self) -> Result<ServerFacts, Unavailable> {
        self.look(|queue| async move { queue.check().await }).await
    }

    /// Runs what changes something and may be repeated.
    pub async fn change<T, F>(&self, change: impl Fn(Queue) -> F + Send + 'static) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send,
    {
        self.call(CHANGE_RETRY_TIME, change).await
    }

    /// Runs what only looks.
    pub async fn look<T, F>(&self, look: impl Fn(Queue) -> F + Send + 'static) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send,
    {
        self.call(LOOK_RETRY_TIME, look).await
    }

    /// Waits for calls that outlived their requests, for as long as a request would wait.
    pub async fn finish(&self) {
        self.running.close();
        // What is still under way then is recovered like after a crash.
        let _ = timeout(ANSWER_TIME, self.running.wait()).await;
    }

    /// Runs the call as a task of its own. A call that was dropped with its request, because the client hung
    /// up or the time ran out, would never reach the queue's own time limit, and a dead connection would
    /// never be replaced.
    async fn call<T, F>(
        &self,
        retry_time: Duration,
        call: impl Fn(Queue) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send,
    {
        let permit = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| Unavailable::Crowded)?;
        let queue = self.queue.clone();
        let running = self.running.spawn(async move {
            let retry_until = Instant::now() + retry_time;
            let answer = loop {
                match call(queue.clone()).await {
                    Err(error) if error.is_passing() && Instant::now() < retry_until => {
                        sleep(RETRY_PAUSE).await;
                    }
                    answer => break answer,
                }
            };
            drop(permit);
            answer
        });
        match timeout(ANSWER_TIME, running).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(Unavailable::Lost),
            Err(_) => Err(Unavailable::TooSlow),
        }
    }
}
