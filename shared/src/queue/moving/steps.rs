//! The steps of a move, each by itself.

use std::time::Duration;

use redis::Value;

use crate::{
    Specialty, TaskId,
    queue::{
        Queue, QueueError,
        inspect::{first_word, number, text},
        record,
        script::NamedScript,
    },
};

/// How long after the mark, or its repetition, copy and swap may be made. Shorter than what sweeps let an outbox
/// entry grow old before they carry it out.
const COPY_MAX: Duration = Duration::from_secs(4);

/// Lines of a log that are copied at a time.
const LOG_PAGE: usize = 200;

/// What the source says of a task on its way.
pub(super) struct Departing {
    pub token: String,
    pub deadline_ms: u64,
    pub target: Specialty,
    pub spec: Vec<u8>,
    pub fields: Vec<Vec<u8>>,
}

/// The answer of the source.
pub(super) enum Out {
    Departing(Departing),
    /// It is here as the copy of a move from another specialty.
    Arriving {
        token: String,
        source: Specialty,
    },
    WrongState,
    Unknown,
}

impl Queue {
    pub(super) async fn mark(
        &self,
        source: &Specialty,
        id: &TaskId,
        target: Option<&Specialty>,
        by: &str,
    ) -> Result<Out, QueueError> {
        let copy_ms = COPY_MAX.as_millis().to_string();
        let keys = self.keys().specialty(source);
        let args = [id.as_str(), target.map_or("", Specialty::as_str), by, &copy_ms];
        let answer: Vec<Value> =
            self.inner.scripts.move_out.call(&self.inner.connections, keys.base(), &args).await?;
        let part = |place: usize| answer.get(place).map(text).unwrap_or_default();
        let specialty =
            |name: String| name.parse().map_err(|error| QueueError::unexpected("a moving task", error));
        match first_word(&answer).as_str() {
            "moving" => Ok(Out::Departing(Departing {
                token: part(1),
                deadline_ms: answer.get(2).map_or(0, number),
                target: specialty(part(3))?,
                spec: answer.get(4).map(bytes).unwrap_or_default(),
                fields: answer.iter().skip(5).map(bytes).collect(),
            })),
            "arriving" => Ok(Out::Arriving { token: part(1), source: specialty(part(2))? }),
            "wrong" => Ok(Out::WrongState),
            "unknown" => Ok(Out::Unknown),
            other => Err(QueueError::unexpected("move_out", other)),
        }
    }

    pub(super) async fn swap(
        &self,
        source: &Specialty,
        target: &Specialty,
        id: &TaskId,
        deadline_ms: u64,
    ) -> Result<String, QueueError> {
        if self.locate(id).await?.as_ref() == Some(target) {
            return Ok("swapped".to_owned());
        }
        let locator = self.keys().locator(id);
        let args = [source.as_str(), target.as_str(), &deadline_ms.to_string()];
        self.inner.scripts.move_locator.call(&self.inner.connections, &locator, &args).await
    }

    pub(super) async fn copy(
        &self,
        source: &Specialty,
        id: &TaskId,
        departing: &Departing,
    ) -> Result<String, QueueError> {
        let Departing { token, deadline_ms, target, .. } = departing;
        // What a person sees in the specification is where the task is. One that cannot be read goes as it is.
        let spec = match record::decode_spec(id, &departing.spec) {
            Ok(mut spec) => {
                spec.specialty = target.clone();
                // Whoever moved it has decided: nobody is asked for a second opinion any more.
                spec.classification.margin = None;
                record::encode_spec(&spec)?
            }
            Err(_) => departing.spec.clone(),
        };
        let mut args: Vec<Vec<u8>> = vec![id.as_str().into(), source.as_str().into(), token.as_str().into()];
        args.extend([deadline_ms.to_string().into(), spec]);
        args.extend(departing.fields.iter().cloned());
        let keys = self.keys().specialty(target);
        let copied: String =
            self.inner.scripts.move_in.call(&self.inner.connections, keys.base(), args).await?;
        if copied == "arriving" {
            self.copy_log(source, target, id).await?;
        }
        Ok(copied)
    }

    /// The log keeps its cursors.
    pub(super) async fn copy_log(
        &self,
        source: &Specialty,
        target: &Specialty,
        id: &TaskId,
    ) -> Result<(), QueueError> {
        let from = self.keys().specialty(source).log(id);
        let life_ms = self.settings().log_ttl_hours * 3_600_000;
        let mut cursor: Option<String> = None;
        loop {
            let page = self.read_stream(&from, cursor.as_deref(), LOG_PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            cursor = Some(last.clone());
            let mut args = vec![id.to_string(), life_ms.to_string()];
            for (entry, fields) in page {
                args.extend([entry, (2 * fields.len()).to_string()]);
                args.extend(fields.into_iter().flat_map(|(name, value)| [name, value]));
            }
            let keys = self.keys().specialty(target);
            self.inner.scripts.move_log.call::<u64>(&self.inner.connections, keys.base(), args).await?;
        }
    }

    pub(super) async fn undo(&self, here: &Specialty, id: &TaskId, token: &str) -> Result<(), QueueError> {
        self.step(&self.inner.scripts.move_undo, here, id, token).await
    }

    pub(super) async fn step(
        &self,
        script: &NamedScript,
        here: &Specialty,
        id: &TaskId,
        token: &str,
    ) -> Result<(), QueueError> {
        let keys = self.keys().specialty(here);
        script.call::<u8>(&self.inner.connections, keys.base(), &[id.as_str(), token]).await?;
        Ok(())
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    redis::from_redis_value_ref(value).unwrap_or_default()
}
