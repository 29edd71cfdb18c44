//! How long each phase of a task took, read off the events of its specialty.

use std::time::Duration;

use shared::{
    TaskRecord,
    lifecycle::UnixMs,
    queue::{Event, Queue, QueueError, events_from},
};

/// Events a read.
const PAGE: usize = 1_000;

/// Pages that are read at most: more than the queue keeps by default.
const PAGES_MAX: usize = 20;

/// Events that begin no phase.
const ASIDE: [&str; 4] = ["cancelling", "changed", "moved", "deleted"];

/// A phase, from the moment it was entered until the next event of the task.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PhaseTime {
    /// A phase such as `testing`, or the status the task waited in.
    pub phase: String,
    pub duration_ms: u64,
}

impl PhaseTime {
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }
}

/// The phases of `record`'s task in their order, the one under way not included. Empty where the events have been
/// trimmed since.
pub async fn read(queue: &Queue, record: &TaskRecord) -> Result<Vec<PhaseTime>, QueueError> {
    let mut cursor = events_from(record.created_at);
    let mut own = Vec::new();
    for _ in 0..PAGES_MAX {
        let events = queue.events_after(&record.specialty, Some(&cursor), PAGE).await?;
        let Some(last) = events.last() else { break };
        cursor.clone_from(&last.cursor);
        let is_last_page = events.len() < PAGE;
        let own_events = events.into_iter().filter(|event| event.task == record.id.as_str());
        own.extend(own_events.filter(|event| !ASIDE.contains(&event.event.as_str())).map(moment));
        if is_last_page {
            break;
        }
    }
    Ok(durations(&own))
}

fn moment(mut event: Event) -> (UnixMs, String) {
    let phase = event.details.remove("phase").filter(|_| event.event == "phase");
    (event.at, phase.unwrap_or(event.event))
}

fn durations(moments: &[(UnixMs, String)]) -> Vec<PhaseTime> {
    let spans = moments.iter().zip(moments.iter().skip(1));
    spans
        .map(|((began, phase), (ended, _))| PhaseTime {
            phase: phase.clone(),
            duration_ms: ended.saturating_sub(*began),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_lasts_until_the_next_event() {
        let moments = [(10, "held"), (30, "active"), (35, "agent"), (135, "testing"), (140, "completed")];
        let moments = moments.map(|(at, name)| (at, name.to_owned()));
        let times: Vec<(String, u64)> =
            durations(&moments).into_iter().map(|t| (t.phase, t.duration_ms)).collect();
        let expected = [("held", 20), ("active", 5), ("agent", 100), ("testing", 5)];
        assert_eq!(times, expected.map(|(phase, ms)| (phase.to_owned(), ms)));
    }
}
