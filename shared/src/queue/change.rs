//! The text of a task that waits is changed, as when its issue is edited.

use redis::Value;

use super::{Asked, Queue, QueueError, inspect::first_word, record};
use crate::{
    TaskId, TaskSpec,
    task::{BODY_BYTES_MAX, TITLE_BYTES_MAX, cut},
};

/// How often a change is made anew on what another change has left.
const CONFLICTS_MAX: usize = 10;

/// What is to be different; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Cut to [`TITLE_BYTES_MAX`].
    pub title: Option<String>,
    /// Cut to [`BODY_BYTES_MAX`].
    pub body: Option<String>,
    pub labels: Option<Vec<String>>,
    pub requirements: Option<Vec<String>>,
}

impl Change {
    fn apply(&self, spec: &mut TaskSpec) {
        if let Some(title) = &self.title {
            cut(title, TITLE_BYTES_MAX).clone_into(&mut spec.title);
        }
        if let Some(body) = &self.body {
            cut(body, BODY_BYTES_MAX).clone_into(&mut spec.body);
        }
        if let Some(labels) = &self.labels {
            spec.labels.clone_from(labels);
        }
        if let Some(requirements) = &self.requirements {
            spec.requirements.clone_from(requirements);
        }
    }
}

impl Queue {
    /// Changes a task that is held, pending or delayed. Repeatable; of two changes at a time none undoes the other.
    pub async fn change(&self, id: &TaskId, change: &Change, by: &str) -> Result<Asked, QueueError> {
        for _ in 0..CONFLICTS_MAX {
            let Some(specialty) = self.locate(id).await? else { return Ok(Asked::Unknown) };
            // Before the specification: a change in between is then a conflict.
            let revision = self.revision(&self.keys().specialty(&specialty).record(id)).await?;
            let Some(mut spec) = self.spec(id).await? else {
                return self.or_unknown(id, Asked::WrongState, Asked::Unknown).await;
            };
            change.apply(&mut spec);
            let mut args: Vec<Vec<u8>> =
                vec![id.as_str().into(), revision.into(), record::encode_spec(&spec)?, by.into()];
            for (name, value) in record::plain_fields(&spec) {
                args.extend([name.into(), value.into()]);
            }
            let asked = self.ask(id, &self.inner.scripts.change, args).await?;
            match asked.as_ref().map(|(_, answer)| first_word(answer)) {
                Some(word) if word == "conflict" => {}
                _ => return self.asked(id, asked.as_ref(), "changed").await,
            }
        }
        Err(QueueError::unexpected("change", format!("task {id} is changed again and again")))
    }

    async fn revision(&self, record: &str) -> Result<String, QueueError> {
        let revision: Value = self
            .inner
            .connections
            .run(async |mut connection| {
                redis::cmd("HGET").arg(record).arg("revision").query_async(&mut connection).await
            })
            .await?;
        Ok(if revision == Value::Nil { "0".to_owned() } else { super::inspect::text(&revision) })
    }
}
