//! The holder of a task hands it to another specialty before it has begun with it.

use redis::Value;

use super::{Lease, Queue, QueueError, Settlement, inspect::first_word, record};
use crate::{TaskSpec, crash_point::CrashPoint};

impl Queue {
    /// Active -> pending in the specialty of `spec`, which is kept with the task; uncounted, among its tasks by age.
    ///
    /// The task is on its way from the first step on, which fences the holder off. What fails behind it, a sweep
    /// finishes; where nobody may say where the task is, it goes back to where it was.
    ///
    /// # Errors
    /// An outage, after which it may be repeated.
    pub async fn refer(&self, lease: &Lease, spec: &TaskSpec, by: &str) -> Result<Settlement, QueueError> {
        self.register_specialties(std::slice::from_ref(&spec.specialty)).await?;
        let mut args: Vec<Vec<u8>> = lease.args().into_iter().map(String::into_bytes).collect();
        args.extend([spec.specialty.as_str().into(), record::encode_spec(spec)?, by.into()]);
        let keys = self.keys().specialty(&lease.specialty);
        let answer: Vec<Value> =
            self.inner.scripts.refer.call(&self.inner.connections, keys.base(), args).await?;
        CrashPoint::Referred.reached();
        match first_word(&answer).as_str() {
            "done" => {
                if let Err(error) = self.finish_move(&lease.specialty, &lease.id).await {
                    tracing::debug!(%error, task = %lease.id, "the move is left to the next sweep");
                }
                Ok(Settlement::Done)
            }
            "cancelled" => {
                self.deliver_answer(&lease.specialty, lease.id.as_str(), &answer).await;
                Ok(Settlement::Cancelled)
            }
            "already" => Ok(Settlement::Already),
            "stale" => Ok(Settlement::Stale),
            other => Err(QueueError::unexpected("refer", other)),
        }
    }
}
