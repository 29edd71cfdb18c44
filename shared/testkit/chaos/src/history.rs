//! What happened to each task, by the events that every transition writes.

use std::collections::HashMap;

use anyhow::Result;
use shared::{Specialty, queue::Queue};

/// Events that one read asks for.
const PAGE: usize = 1_000;

/// One task's life.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Fence and worker of each claim, oldest first.
    pub claims: Vec<(u64, String)>,
    /// `completed`, `failed` or `cancelled`, and the fence of the run that did it, where one did.
    pub ends: Vec<(String, Option<u64>)>,
    /// Returns to the line because a worker was lost.
    pub losses: u32,
    /// The run of the last claim began by itself on its worker; others say nothing of their beginning on this level.
    pub ran_alone: bool,
}

/// The lives of all tasks of `specialties`, by id.
pub async fn histories(queue: &Queue, specialties: &[Specialty]) -> Result<HashMap<String, History>> {
    let mut all: HashMap<String, History> = HashMap::new();
    for specialty in specialties {
        let mut cursor: Option<String> = None;
        loop {
            let events = queue.events_after(specialty, cursor.as_deref(), PAGE).await?;
            let Some(last) = events.last() else { break };
            cursor = Some(last.cursor.clone());
            for event in events {
                let detail = |name: &str| event.details.get(name).cloned();
                let fence = detail("fence").and_then(|text| text.parse().ok());
                let task = all.entry(event.task.clone()).or_default();
                match event.event.as_str() {
                    "active" => {
                        let fence = fence.unwrap_or_default();
                        // A renewal that takes a returned task back tells the same fence again.
                        if task.claims.last().is_none_or(|(last, _)| *last != fence) {
                            task.claims.push((fence, detail("worker").unwrap_or_default()));
                            task.ran_alone = false;
                        }
                    }
                    "phase" => task.ran_alone = true,
                    "pending" if detail("reason").as_deref() == Some("lost") => task.losses += 1,
                    end @ ("completed" | "failed" | "cancelled") => task.ends.push((end.to_owned(), fence)),
                    _ => {}
                }
            }
        }
    }
    Ok(all)
}

impl History {
    /// How it ended, if it did so exactly once.
    pub fn end(&self) -> Option<&str> {
        match self.ends.as_slice() {
            [(end, _)] => Some(end),
            _ => None,
        }
    }

    pub fn has_claim(&self, fence: u64) -> bool {
        self.claims.iter().any(|(known, _)| *known == fence)
    }
}
