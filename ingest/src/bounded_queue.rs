//! The queue, as a request uses it: waited for only so long.

use std::{sync::Arc, time::Duration};

use shared::{
    TaskSpec,
    queue::{IssueEnqueued, Queue, QueueError, ServerFacts},
};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;

/// How long a request waits for the queue. GitHub counts a delivery as failed after ten seconds, of which
/// the body may have used some.
const ANSWER_TIME: Duration = Duration::from_secs(5);

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
        let queue = self.queue.clone();
        self.call(async move { queue.enqueue_issue(&spec, delivery.as_deref()).await }).await
    }

    /// See [`Queue::check`].
    pub async fn check(&self) -> Result<ServerFacts, Unavailable> {
        let queue = self.queue.clone();
        self.call(async move { queue.check().await }).await
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
    async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, QueueError>> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let permit = Arc::clone(&self.calls).try_acquire_owned().map_err(|_| Unavailable::Crowded)?;
        let running = self.running.spawn(async move {
            let answer = call.await;
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
