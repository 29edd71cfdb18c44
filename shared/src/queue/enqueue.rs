//! Tasks come in, each at most once by its id.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use redis::Value;

use super::{Queue, QueueError, inspect::first_word, record};
use crate::{Specialty, TaskId, TaskSpec, crash_point::CrashPoint};

/// Most tasks that one call lets in: so many keep Redis from others for less than a millisecond.
const CALL_TASKS_MAX: usize = 32;

/// A call is sent when its specifications have so many bytes.
const CALL_BYTES: usize = 262_144;

/// Calls of one [`Queue::enqueue_all`] that are under way at once.
const CALLS_UNDER_WAY_MAX: usize = 4;

/// How often a task may be found to be located elsewhere before it is given up: it is being moved to and fro.
const MOVES_MAX: u32 = 8;

/// What became of a task that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    Created,
    /// A task with this id exists, in this specialty; nothing was changed.
    Exists {
        specialty: Specialty,
    },
}

/// What a script says of one task.
pub(super) enum Admitted {
    Created,
    Exists,
    /// Its locator names this specialty, in which it is to be offered.
    Elsewhere(Specialty),
}

/// A task on its way in.
#[derive(Clone)]
struct Offer {
    /// In the slice that was given.
    place: usize,
    specialty: Specialty,
}

impl Queue {
    /// Makes the task pending. Idempotent by id: repeating it after an answer that was lost is safe.
    pub async fn enqueue(&self, spec: &TaskSpec) -> Result<Enqueued, QueueError> {
        let answer = self.enqueue_all(std::slice::from_ref(spec)).await.pop();
        answer.unwrap_or_else(|| Err(QueueError::unexpected("enqueue", "no answer")))
    }

    /// Makes many tasks pending, several with each call to Redis; one answer for each, in the same order. A task
    /// that meets an error stops no other. Idempotent by id, like [`Queue::enqueue`].
    pub async fn enqueue_all(&self, specs: &[TaskSpec]) -> Vec<Result<Enqueued, QueueError>> {
        let mut answers: Vec<_> = specs
            .iter()
            .map(|_| Err(QueueError::unexpected("enqueue", "its locator is moved all the time")))
            .collect();
        let offers = specs.iter().enumerate();
        let mut offers: Vec<Offer> =
            offers.map(|(place, spec)| Offer { place, specialty: spec.specialty.clone() }).collect();
        for _ in 0..MOVES_MAX {
            let calls: Vec<_> =
                calls(specs, offers).into_iter().map(|call| self.offer(specs, call)).collect();
            offers = Vec::new();
            let mut calls = stream::iter(calls).buffer_unordered(CALLS_UNDER_WAY_MAX);
            while let Some((call, admitted)) = calls.next().await {
                for (offer, admitted) in call.into_iter().zip(admitted) {
                    answers[offer.place] = match admitted {
                        Ok(Admitted::Created) => Ok(Enqueued::Created),
                        Ok(Admitted::Exists) => Ok(Enqueued::Exists { specialty: offer.specialty }),
                        Ok(Admitted::Elsewhere(specialty)) => {
                            offers.push(Offer { specialty, ..offer });
                            continue;
                        }
                        Err(error) => Err(error),
                    };
                }
            }
            if offers.is_empty() {
                break;
            }
        }
        answers
    }

    /// Makes the task held: in no stream, until it is claimed by id or released.
    pub async fn hold(&self, spec: &TaskSpec) -> Result<Enqueued, QueueError> {
        // The locator decides where the record lives, whoever else offers the same id elsewhere.
        let (specialty, located) = self.locate_or_take(&spec.id, &spec.specialty).await?;
        CrashPoint::LocatorTaken.reached();
        self.register_specialties(std::slice::from_ref(&specialty)).await?;
        let mut args = Vec::new();
        append_task(&mut args, spec, &specialty)?;
        // One task, so that nobody has to know where it ends.
        args.remove(3);
        let keys = self.keys().specialty(&specialty);
        let script = &self.inner.scripts.hold;
        let answer: Vec<Value> = script.call(&self.inner.connections, keys.base(), args).await?;
        match admitted(script.name, &first_word(&answer))? {
            Admitted::Created => {
                if located {
                    CrashPoint::Relocated.reached();
                    self.keep_locator(&specialty, &spec.id).await?;
                }
                Ok(Enqueued::Created)
            }
            _ => Ok(Enqueued::Exists { specialty }),
        }
    }

    /// One call with tasks of one specialty, and what is said of each.
    async fn offer(
        &self,
        specs: &[TaskSpec],
        call: Vec<Offer>,
    ) -> (Vec<Offer>, Vec<Result<Admitted, QueueError>>) {
        let answers = if self.inner.connections.is_cluster() {
            self.offer_in_steps(specs, &call).await
        } else {
            self.admit(specs, &call).await
        };
        (call, answers)
    }

    /// On a Cluster the locators are taken first. Those that name another specialty are offered there.
    async fn offer_in_steps(&self, specs: &[TaskSpec], call: &[Offer]) -> Vec<Result<Admitted, QueueError>> {
        let mut answers = Vec::new();
        let mut here = Vec::new();
        for (at, offer) in call.iter().enumerate() {
            answers.push(match self.locate_or_take(&specs[offer.place].id, &offer.specialty).await {
                Ok((named, located)) if named == offer.specialty => {
                    CrashPoint::LocatorTaken.reached();
                    here.push((at, located));
                    Ok(Admitted::Exists)
                }
                Ok((named, _)) => Ok(Admitted::Elsewhere(named)),
                Err(error) => Err(error),
            });
        }
        let offers: Vec<Offer> = here.iter().map(|(at, _)| call[*at].clone()).collect();
        let registered = match offers.first() {
            Some(first) => self.register_specialties(std::slice::from_ref(&first.specialty)).await,
            None => Ok(()),
        };
        let admitted = match registered {
            Ok(()) => self.admit(specs, &offers).await,
            Err(error) => offers.iter().map(|_| Err(error.clone())).collect(),
        };
        for (((at, located), offer), admitted) in here.into_iter().zip(offers).zip(admitted) {
            answers[at] = match admitted {
                Ok(Admitted::Created) if located => {
                    CrashPoint::Relocated.reached();
                    let kept = self.keep_locator(&offer.specialty, &specs[offer.place].id).await;
                    kept.map(|()| Admitted::Created)
                }
                other => other,
            };
        }
        answers
    }

    /// One call of the script.
    async fn admit(&self, specs: &[TaskSpec], call: &[Offer]) -> Vec<Result<Admitted, QueueError>> {
        let Some(first) = call.first() else { return Vec::new() };
        let script = &self.inner.scripts.enqueue;
        let answered: Result<Vec<String>, QueueError> = async {
            let mut args = vec![first.specialty.as_str().into()];
            for offer in call {
                append_task(&mut args, &specs[offer.place], &offer.specialty)?;
            }
            let keys = self.keys().specialty(&first.specialty);
            script.call(&self.inner.connections, keys.base(), args).await
        }
        .await;
        match answered {
            Ok(words) if words.len() == call.len() => {
                words.iter().map(|word| admitted(script.name, word)).collect()
            }
            Ok(words) => {
                let error = QueueError::unexpected(script.name, format!("{} answers", words.len()));
                call.iter().map(|_| Err(error.clone())).collect()
            }
            Err(error) => call.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// The specialty that the locator names, and whether it did so before.
    async fn locate_or_take(
        &self,
        id: &TaskId,
        specialty: &Specialty,
    ) -> Result<(Specialty, bool), QueueError> {
        let key = self.keys().locator(id);
        let named: Option<String> = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("SET")
                    .arg(&key)
                    .arg(specialty.as_str())
                    .arg("NX")
                    .arg("GET")
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        match named {
            None => Ok((specialty.clone(), false)),
            Some(text) => {
                let named = text.parse().map_err(|error| QueueError::unexpected("the locator", error))?;
                Ok((named, true))
            }
        }
    }

    /// A locator left by a settled task whose record is gone has an end, and a new task has taken its id.
    async fn keep_locator(&self, specialty: &Specialty, id: &TaskId) -> Result<(), QueueError> {
        let key = self.keys().locator(id);
        let connections = &self.inner.connections;
        connections
            .run(async |mut connection| {
                redis::cmd("PERSIST").arg(&key).query_async::<()>(&mut connection).await
            })
            .await?;
        // The task may have ended before this, and its settlement has set the end for the last time.
        let record = self.record(specialty, id).await?;
        if record.is_some_and(|record| !record.status.is_settled()) {
            return Ok(());
        }
        let life_ms = self.settings().locator_life_ms();
        connections
            .run(async |mut connection| {
                redis::cmd("PEXPIRE").arg(&key).arg(life_ms).query_async(&mut connection).await
            })
            .await
    }
}

/// Offers by specialty, in calls that are neither too many tasks nor too many bytes.
fn calls(specs: &[TaskSpec], offers: Vec<Offer>) -> Vec<Vec<Offer>> {
    let mut by_specialty: BTreeMap<Specialty, Vec<Vec<Offer>>> = BTreeMap::new();
    let mut bytes = 0;
    for offer in offers {
        let calls = by_specialty.entry(offer.specialty.clone()).or_default();
        let size = specs[offer.place].body.len();
        match calls.last_mut() {
            Some(call) if call.len() < CALL_TASKS_MAX && bytes + size <= CALL_BYTES => {
                bytes += size;
                call.push(offer);
            }
            _ => {
                bytes = size;
                calls.push(vec![offer]);
            }
        }
    }
    by_specialty.into_values().flatten().collect()
}

/// One task as `admit.lua` reads it, in the specialty that its locator names.
pub(super) fn append_task(
    args: &mut Vec<Vec<u8>>,
    spec: &TaskSpec,
    specialty: &Specialty,
) -> Result<(), QueueError> {
    let encoded = if spec.specialty == *specialty {
        record::encode_spec(spec)?
    } else {
        record::encode_spec(&TaskSpec { specialty: specialty.clone(), ..spec.clone() })?
    };
    let fields = record::plain_fields(spec);
    args.extend([spec.id.as_str().into(), spec.priority.as_str().into(), encoded]);
    args.push((2 * fields.len()).to_string().into());
    for (name, value) in fields {
        args.extend([name.into(), value.into()]);
    }
    Ok(())
}

/// A word of the answer of `script`.
pub(super) fn admitted(script: &'static str, word: &str) -> Result<Admitted, QueueError> {
    match word.split_once(' ').unwrap_or((word, "")) {
        ("created", _) => Ok(Admitted::Created),
        ("exists", _) => Ok(Admitted::Exists),
        ("elsewhere", name) => name
            .parse()
            .map(Admitted::Elsewhere)
            .map_err(|error| QueueError::unexpected("the locator", error)),
        ("error", detail) => Err(QueueError::of_one_task(script, detail)),
        _ => Err(QueueError::unexpected(script, word)),
    }
}
