//! Settlements that wait together leave together.
//!
//! While one call of a specialty is under way, the settlements that arrive line up and go with the next. A call
//! is carried out by a task of its own: whoever asked may be dropped without stopping those beside it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use redis::Value;
use tokio::{sync::oneshot, task::yield_now};

use super::{Queue, QueueError};
use crate::Specialty;

/// Most settlements in one call: so many keep Redis from others for less than a millisecond.
const CALL_SETTLEMENTS_MAX: usize = 32;

/// What one settlement is answered.
type Answer = Result<Vec<Value>, QueueError>;

/// The settlements of each specialty that wait for a call.
#[derive(Default)]
pub struct Settler {
    /// A specialty is here while somebody carries out its calls.
    lines: Mutex<HashMap<Specialty, VecDeque<Waiting>>>,
}

struct Waiting {
    /// As settle.lua reads them.
    args: Vec<String>,
    answer: oneshot::Sender<Answer>,
}

/// Whoever carries out the calls of a specialty. Dropped with its runtime, it leaves nobody waiting.
struct Shift {
    queue: Queue,
    specialty: Specialty,
    /// The line is gone; one of the same name is somebody else's.
    ended: bool,
}

impl Settler {
    /// Sends one settlement, together with those that wait, and returns its own answer.
    pub async fn settle(&self, queue: &Queue, specialty: &Specialty, args: Vec<String>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let begin = {
            let mut lines = self.lines();
            let begin = !lines.contains_key(specialty);
            lines.entry(specialty.clone()).or_default().push_back(Waiting { args, answer });
            begin
        };
        if begin {
            let shift = Shift { queue: queue.clone(), specialty: specialty.clone(), ended: false };
            tokio::spawn(shift.run());
        }
        answered.await.unwrap_or_else(|_| Err(QueueError::Unreachable("the program is stopping".to_owned())))
    }

    /// The next call's settlements; ends the line when there are none.
    fn next(&self, specialty: &Specialty) -> Vec<Waiting> {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(specialty) else { return Vec::new() };
        let call: Vec<_> = line.drain(..line.len().min(CALL_SETTLEMENTS_MAX)).collect();
        if call.is_empty() {
            lines.remove(specialty);
        }
        call
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Specialty, VecDeque<Waiting>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shift {
    async fn run(mut self) {
        // Those who ask in the same breath go together.
        yield_now().await;
        loop {
            let call = self.queue.inner.settler.next(&self.specialty);
            if call.is_empty() {
                self.ended = true;
                return;
            }
            self.carry_out(call).await;
        }
    }

    async fn carry_out(&self, call: Vec<Waiting>) {
        let (args, asking): (Vec<_>, Vec<_>) = call.into_iter().map(|w| (w.args, w.answer)).unzip();
        let inner = &self.queue.inner;
        let keys = inner.keys.specialty(&self.specialty);
        let answers: Result<Vec<Vec<Value>>, QueueError> =
            inner.scripts.settle.call(&inner.connections, keys.base(), args.concat()).await;
        let mut answers = answers.map(Vec::into_iter);
        for asking in asking {
            let answer = match &mut answers {
                Ok(answers) => {
                    answers.next().ok_or_else(|| QueueError::unexpected("settle", "too few answers"))
                }
                Err(error) => Err(error.clone()),
            };
            // Who asked and was dropped has no use for it.
            let _ = asking.send(answer);
        }
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.inner.settler.lines().remove(&self.specialty);
        }
    }
}
