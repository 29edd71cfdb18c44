//! Tasks come in, each at most once by its id.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};

use super::{Queue, QueueError, locator::Located, record};
use crate::{Specialty, TaskSpec, crash_point::CrashPoint};

/// Most tasks that one call lets in: so many keep Redis from others for less than a millisecond.
const CALL_TASKS_MAX: usize = 32;

/// A call is sent when its specifications have so many bytes.
const CALL_BYTES: usize = 262_144;

/// Calls of one [`Queue::enqueue_all`] that are under way at once.
const CALLS_UNDER_WAY_MAX: usize = 4;

/// How often a task may be found to be located elsewhere, or to be late, before it is given up.
const OFFERS_MAX: u32 = 8;

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
    /// `due`: the outbox entry that its locator is to be made lasting; empty where it is.
    Created {
        due: String,
    },
    Exists,
    /// Its locator names this specialty, in which it is to be offered.
    Elsewhere(Specialty),
    /// The locator that was taken for it may have ended: it is to be offered anew.
    Late,
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
            .map(|_| Err(QueueError::unexpected("enqueue", "its locator is moved, or ends, all the time")))
            .collect();
        let offers = specs.iter().enumerate();
        let mut offers: Vec<Offer> =
            offers.map(|(place, spec)| Offer { place, specialty: spec.specialty.clone() }).collect();
        for _ in 0..OFFERS_MAX {
            let calls: Vec<_> =
                calls(specs, offers).into_iter().map(|call| self.offer(specs, call)).collect();
            offers = Vec::new();
            let mut calls = stream::iter(calls).buffer_unordered(CALLS_UNDER_WAY_MAX);
            while let Some((call, admitted)) = calls.next().await {
                for (offer, admitted) in call.into_iter().zip(admitted) {
                    answers[offer.place] = match admitted {
                        Ok(Admitted::Created { .. }) => Ok(Enqueued::Created),
                        Ok(Admitted::Exists) => Ok(Enqueued::Exists { specialty: offer.specialty }),
                        Ok(Admitted::Elsewhere(specialty)) => {
                            offers.push(Offer { specialty, ..offer });
                            continue;
                        }
                        Ok(Admitted::Late) => {
                            offers.push(offer);
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
        for _ in 0..OFFERS_MAX {
            // The locator decides where the record lives, whoever else offers the same id elsewhere.
            let Located { specialty, deadline_ms } = self.locate_or_take(&spec.id, &spec.specialty).await?;
            CrashPoint::LocatorTaken.reached();
            self.register_specialties(std::slice::from_ref(&specialty)).await?;
            let mut args = Vec::new();
            append_task(&mut args, spec, &specialty)?;
            // One task, so that nobody has to know where it ends.
            args[3] = deadline_ms.to_string().into();
            let keys = self.keys().specialty(&specialty);
            let script = &self.inner.scripts.hold;
            let answer: String = script.call(&self.inner.connections, keys.base(), args).await?;
            match admitted(script.name, &answer)? {
                Admitted::Created { due } => {
                    CrashPoint::Admitted.reached();
                    if !due.is_empty() {
                        self.keep_locator(&specialty, &spec.id, &due).await?;
                    }
                    return Ok(Enqueued::Created);
                }
                Admitted::Late => {}
                Admitted::Exists | Admitted::Elsewhere(_) => return Ok(Enqueued::Exists { specialty }),
            }
        }
        Err(QueueError::unexpected("hold", "its locator ends all the time"))
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
            self.admit(specs, &call, u64::MAX).await
        };
        (call, answers)
    }

    /// On a Cluster the locators are taken first. Those that name another specialty are offered there.
    async fn offer_in_steps(&self, specs: &[TaskSpec], call: &[Offer]) -> Vec<Result<Admitted, QueueError>> {
        let mut answers = Vec::new();
        let mut here = Vec::new();
        let mut deadline_ms = u64::MAX;
        for (at, offer) in call.iter().enumerate() {
            answers.push(match self.locate_or_take(&specs[offer.place].id, &offer.specialty).await {
                Ok(located) if located.specialty == offer.specialty => {
                    CrashPoint::LocatorTaken.reached();
                    deadline_ms = deadline_ms.min(located.deadline_ms);
                    here.push(at);
                    Ok(Admitted::Exists)
                }
                Ok(located) => Ok(Admitted::Elsewhere(located.specialty)),
                Err(error) => Err(error),
            });
        }
        let offers: Vec<Offer> = here.iter().map(|at| call[*at].clone()).collect();
        let registered = match offers.first() {
            Some(first) => self.register_specialties(std::slice::from_ref(&first.specialty)).await,
            None => Ok(()),
        };
        let admitted = match registered {
            Ok(()) => self.admit(specs, &offers, deadline_ms).await,
            Err(error) => offers.iter().map(|_| Err(error.clone())).collect(),
        };
        for ((at, offer), admitted) in here.into_iter().zip(offers).zip(admitted) {
            answers[at] = match admitted {
                Ok(Admitted::Created { due }) => {
                    CrashPoint::Admitted.reached();
                    let kept = self.keep_locator(&offer.specialty, &specs[offer.place].id, &due).await;
                    kept.map(|()| Admitted::Created { due })
                }
                other => other,
            };
        }
        answers
    }

    /// One call of the script. The deadline counts where the locators were taken before.
    async fn admit(
        &self,
        specs: &[TaskSpec],
        call: &[Offer],
        deadline_ms: u64,
    ) -> Vec<Result<Admitted, QueueError>> {
        let Some(first) = call.first() else { return Vec::new() };
        let script = &self.inner.scripts.enqueue;
        let answered: Result<Vec<String>, QueueError> = async {
            let mut args = vec![first.specialty.as_str().into(), deadline_ms.to_string().into()];
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
            Ok(words) if words == ["late"] => call.iter().map(|_| Ok(Admitted::Late)).collect(),
            Ok(words) => {
                let error = QueueError::unexpected(script.name, format!("{} answers", words.len()));
                call.iter().map(|_| Err(error.clone())).collect()
            }
            Err(error) => call.iter().map(|_| Err(error.clone())).collect(),
        }
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
        ("created", due) => Ok(Admitted::Created { due: due.to_owned() }),
        ("late", _) => Ok(Admitted::Late),
        ("exists", _) => Ok(Admitted::Exists),
        ("elsewhere", name) => name
            .parse()
            .map(Admitted::Elsewhere)
            .map_err(|error| QueueError::unexpected("the locator", error)),
        ("error", detail) => Err(QueueError::of_one_task(script, detail)),
        _ => Err(QueueError::unexpected(script, word)),
    }
}

#[cfg(test)]
mod tests;
