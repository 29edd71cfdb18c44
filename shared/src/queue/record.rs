//! The record in Redis and back: fields to types, in one place.

use std::collections::HashMap;

use super::QueueError;
use crate::{
    Failure, Outcome, Priority, Specialty, Status, TaskId, TaskRecord, TaskSpec,
    lifecycle::{Fence, LastRun, Settled},
    task::{SPEC_VERSION, cut},
};

/// Longest value of a plain field: longer ones would turn the hash from a listpack into a table and double
/// its size. `hash-max-listpack-value` is 64.
const FIELD_BYTES_MAX: usize = 64;

/// Longest message that a settled record keeps, in bytes. Settled records are few and bounded.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// The specification as it travels: a version, then MessagePack with named fields, so that a reader can skip
/// what it does not know.
pub fn encode_spec(spec: &TaskSpec) -> Result<Vec<u8>, QueueError> {
    let mut bytes = vec![SPEC_VERSION];
    rmp_serde::encode::write_named(&mut bytes, spec)
        .map_err(|error| QueueError::Spec { id: spec.id.to_string(), detail: error.to_string() })?;
    Ok(bytes)
}

pub fn decode_spec(id: &TaskId, bytes: &[u8]) -> Result<TaskSpec, QueueError> {
    let refuse = |detail: String| QueueError::Spec { id: id.to_string(), detail };
    match bytes.split_first() {
        None => Err(refuse("it is missing".to_owned())),
        Some((&SPEC_VERSION, body)) => rmp_serde::from_slice(body).map_err(|error| refuse(error.to_string())),
        Some((version, _)) => Err(refuse(format!(
            "it has version {version}, this program knows {SPEC_VERSION}; update this program"
        ))),
    }
}

/// The plain fields of a new record, as `redis-cli HGETALL` shows them.
pub fn plain_fields(spec: &TaskSpec) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("repository", spec.repository.to_string()),
        ("title", cut(&spec.title, FIELD_BYTES_MAX).to_owned()),
    ];
    if let Some(number) = spec.issue {
        fields.push(("issue", number.to_string()));
    }
    fields
}

/// The fields that a completed record gains.
pub fn outcome_fields(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let message = |text: &str| cut(text, MESSAGE_BYTES_MAX).to_owned();
    match outcome {
        Outcome::PullRequest { url, number: _, branch, commit, tests } => vec![
            ("outcome", "pull_request".to_owned()),
            ("url", message(url)),
            ("branch", message(branch)),
            ("commit", message(commit)),
            ("tests", message(&tests.to_string())),
        ],
        Outcome::Branch { branch, commit, tests } => vec![
            ("outcome", "branch".to_owned()),
            ("branch", message(branch)),
            ("commit", message(commit)),
            ("tests", message(&tests.to_string())),
        ],
        Outcome::NoChange { answer } => {
            vec![("outcome", "no_change".to_owned()), ("message", message(answer))]
        }
    }
}

/// What a failed or delayed record says to a person.
pub fn failure_message(failure: &Failure) -> String {
    cut(&failure.message, MESSAGE_BYTES_MAX).to_owned()
}

/// A record from its fields. `lease` is its expiry, where it has one.
pub fn decode_record(
    id: &TaskId,
    specialty: &Specialty,
    fields: &HashMap<String, String>,
    lease: Option<u64>,
) -> Result<TaskRecord, QueueError> {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let optional = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let number = |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let refuse = |detail: String| QueueError::unexpected("the record", format!("task {id}: {detail}"));
    let finished_at = number("finished_at");
    // On its way to another specialty it is what it was, and will be there.
    let (state, moving_to) = match text("status").as_str() {
        "moving" => (text("state"), optional("target")),
        "arriving" => (text("state"), Some(specialty.to_string())),
        state => (state.to_owned(), None),
    };
    let status = match state.as_str() {
        "held" => Status::Held,
        "pending" => Status::Pending,
        "active" => Status::Active {
            worker: text("worker"),
            fence: Fence(number("fence")),
            claimed_at: number("claimed_at"),
            lease_expires_at: lease.unwrap_or(0),
            phase: text("phase"),
            // That of an earlier run may still be there.
            phase_since: number("phase_at").max(number("claimed_at")),
            cancel_requested: fields.contains_key("cancel"),
        },
        "delayed" => Status::Delayed { due_at: number("due_at") },
        "completed" => Status::Completed {
            finished_at,
            result: Settled {
                outcome: text("outcome"),
                branch: optional("branch"),
                commit: optional("commit"),
                url: optional("url"),
                tests: optional("tests"),
                message: optional("message"),
            },
        },
        "failed" => Status::Failed {
            finished_at,
            class: text("class").parse().map_err(|()| refuse(format!("class '{}'", text("class"))))?,
            message: text("message"),
            branch: optional("branch"),
        },
        "cancelled" => Status::Cancelled { finished_at, reason: text("message") },
        other => return Err(refuse(format!("status '{other}'"))),
    };
    Ok(TaskRecord {
        id: id.clone(),
        repository: text("repository").parse().map_err(|error| refuse(format!("{error}")))?,
        issue: optional("issue").and_then(|value| value.parse().ok()),
        title: text("title"),
        specialty: specialty.clone(),
        priority: text("priority").parse::<Priority>().map_err(|error| refuse(error.to_string()))?,
        created_at: number("created_at"),
        runs: number("runs") as u32,
        attempts: number("attempts") as u32,
        lost: number("lost") as u32,
        micro_usd: number("micro_usd"),
        last_run: optional("worker").map(|worker| LastRun { worker, claimed_at: number("claimed_at") }),
        moving_to: moving_to.and_then(|name| name.parse().ok()),
        status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TaskSpec {
        let repository = "octo/cat".parse().unwrap();
        TaskSpec { issue: Some(7), ..TaskSpec::new("t-1".parse().unwrap(), repository, &"题".repeat(40)) }
    }

    #[test]
    fn a_specification_survives_the_journey() {
        let spec = spec();
        let bytes = encode_spec(&spec).unwrap();
        assert_eq!(decode_spec(&spec.id, &bytes).unwrap(), spec);
    }

    #[test]
    fn a_newer_version_is_refused_with_advice() {
        let mut bytes = encode_spec(&spec()).unwrap();
        bytes[0] = 9;
        let error = decode_spec(&spec().id, &bytes).unwrap_err().to_string();
        assert!(error.contains("version 9") && error.contains("update"), "{error}");
    }

    #[test]
    fn plain_fields_stay_short_enough_for_a_listpack() {
        for (name, value) in plain_fields(&spec()) {
            assert!(value.len() <= FIELD_BYTES_MAX, "{name}");
        }
    }
}
