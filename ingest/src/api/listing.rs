//! Tasks in pages: every status of every specialty, or some.

use std::collections::HashMap;

use serde::Deserialize;
use shared::{
    Priority, Specialty, Status, TaskId, TaskRecord,
    queue::{Queue, QueueError},
    worker_info::WorkerState,
};

use super::refusal::Refusal;
use crate::{classify::Classifier, problem, trigger::short};

/// Tasks on a page, unless another number is asked for, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// Reads of the queue that one page may take: a page may be short, with more behind it.
const READS_MAX: usize = 64;

/// What somebody looks for comes first: what runs, what waits, what went wrong.
const STATUSES: [&str; 7] = ["active", "pending", "delayed", "held", "failed", "cancelled", "completed"];

/// As the query string has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    status: Option<String>,
    specialty: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// Which tasks are asked for.
#[derive(Debug)]
pub struct ListQuery {
    statuses: Vec<&'static str>,
    specialty: Option<Specialty>,
    limit: usize,
    after: Option<Cursor>,
}

impl ListQuery {
    pub fn parse(query: &str, classifier: &Classifier) -> Result<Self, Refusal> {
        let bad = |problem: String| Refusal::BadQuery(problem);
        let written: Written =
            serde_urlencoded::from_str(query).map_err(|error| bad(problem::detail(&error)))?;
        let statuses = match written.status.as_deref().filter(|text| !text.is_empty()) {
            None => STATUSES.to_vec(),
            Some(names) => names.split(',').map(known_status).collect::<Result<_, _>>()?,
        };
        let specialty = |name: String| {
            let known = classifier.resolve_alias(&name).or_else(|| name.parse().ok());
            known.ok_or_else(|| bad(format!("there is no specialty '{}'", short(&name))))
        };
        let specialty = written.specialty.filter(|name| !name.is_empty()).map(specialty).transpose()?;
        let limit = written.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(bad(format!("limit is 1 to {LIMIT_MAX}")));
        }
        let after = written.after.filter(|text| !text.is_empty());
        let cursor = |text: String| {
            Cursor::parse(&text).ok_or_else(|| bad("after is the 'next' of the page before".to_owned()))
        };
        Ok(Self { statuses, specialty, limit, after: after.map(cursor).transpose()? })
    }
}

fn known_status(name: &str) -> Result<&'static str, Refusal> {
    let known = STATUSES.into_iter().find(|known| *known == name);
    known.ok_or_else(|| {
        Refusal::BadQuery(format!("there is no status '{}'; there are {}", short(name), STATUSES.join(", ")))
    })
}

/// Where a page begins: a status, a specialty, and a place among its tasks that the queue gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    status: &'static str,
    specialty: Specialty,
    /// `None`: at the first.
    place: Option<String>,
}

impl Cursor {
    /// As text that needs no escaping in a URL.
    pub fn text(self) -> String {
        let place = self.place.unwrap_or_default().replacen(' ', "_", 1);
        format!("{}.{}.{place}", self.status, self.specialty)
    }

    /// Strict: the place goes to Redis as it is.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (status, specialty, place) = (parts.next()?, parts.next()?, parts.next()?);
        let status = STATUSES.into_iter().find(|known| *known == status)?;
        let is_number = |text: &str| text.parse::<u64>().is_ok();
        let fits = match (status, place.split_once('_')) {
            (_, None) if place.is_empty() => true,
            ("pending", Some((priority, entry))) => {
                let (ms, sequence) = entry.split_once('-')?;
                priority.parse::<Priority>().is_ok() && is_number(ms) && is_number(sequence)
            }
            (_, None) => false,
            (_, Some((score, id))) => is_number(score) && id.parse::<TaskId>().is_ok(),
        };
        let place = Some(place.replacen('_', " ", 1)).filter(|place| !place.is_empty());
        fits.then_some(Self { status, specialty: specialty.parse().ok()?, place })
    }
}

/// One page of records, and where the next begins.
pub async fn read(queue: &Queue, query: &ListQuery) -> Result<(Vec<TaskRecord>, Option<Cursor>), QueueError> {
    let specialties = match &query.specialty {
        Some(specialty) => vec![specialty.clone()],
        None => queue.specialties().await?,
    };
    let mut starts = starts(query, &specialties).into_iter();
    let mut tasks = Vec::new();
    let mut next = starts.next();
    for _ in 0..READS_MAX {
        let Some(at) = next.take().filter(|_| tasks.len() < query.limit) else { break };
        let missing = query.limit - tasks.len();
        let page = queue.list(&at.specialty, at.status, at.place.as_deref(), missing).await?;
        tasks.extend(page.tasks);
        next = match page.next {
            Some(place) => Some(Cursor { place: Some(place), ..at }),
            None => starts.next(),
        };
        if tasks.len() >= query.limit {
            break;
        }
    }
    Ok((tasks, next))
}

/// The beginning of each list that is to be read, in order, the first one where `after` says.
fn starts(query: &ListQuery, specialties: &[Specialty]) -> Vec<Cursor> {
    let rank = |status: &str| query.statuses.iter().position(|known| *known == status);
    let all = query.statuses.iter().flat_map(|status| {
        specialties.iter().map(|specialty| Cursor { status, specialty: specialty.clone(), place: None })
    });
    let Some(after) = &query.after else { return all.collect() };
    let place = |cursor: &Cursor| (rank(cursor.status), cursor.specialty.clone());
    let rest = all.filter(|cursor| place(cursor) >= place(after));
    rest.map(|cursor| if place(&cursor) == place(after) { after.clone() } else { cursor }).collect()
}

/// Where the workers that run some of `records` have their workspaces.
pub async fn workspace_roots(
    queue: &Queue,
    records: &[TaskRecord],
) -> Result<HashMap<String, String>, QueueError> {
    if !records.iter().any(|record| matches!(record.status, Status::Active { .. })) {
        return Ok(HashMap::new());
    }
    let online = queue.workers().await?.into_iter().filter_map(|worker| match worker {
        WorkerState::Online(info) => Some((info.id, info.workspace_root)),
        WorkerState::Offline { .. } => None,
    });
    Ok(online.collect())
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;

    fn parse(query: &str) -> Result<ListQuery, Refusal> {
        ListQuery::parse(query, &Classifier::load(&Config::defaults().unwrap().classify).unwrap())
    }

    #[test]
    fn cursors_survive_a_url_and_what_is_none_is_refused() {
        for text in
            ["pending.backend.high_1700000000000-0", "active.general.1700000000000_a_b.c-1", "held.my-own."]
        {
            assert_eq!(Cursor::parse(text).unwrap().text(), text);
        }
        for bad in [
            "",
            "x",
            "pending.backend",
            "waiting.backend.",
            "pending.Back end.",
            "pending.backend.high",
            "pending.backend.urgent_1-0",
            "pending.backend.high_1-",
            "pending.backend.high_1-x",
            "pending.backend.high_99999999999999999999-0",
            "active.backend.-1",
            "active.backend.50",
            "active.backend.x_a",
            "active.backend.1_",
            "active.backend.1_a b",
            "active.backend.99999999999999999999_a",
        ] {
            assert!(Cursor::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_asked_for_wrongly_is_told() {
        assert_eq!(parse("").unwrap().statuses.len(), 7);
        let query = parse("status=failed,active&specialty=API&limit=3").unwrap();
        assert_eq!(query.statuses, ["failed", "active"]);
        assert_eq!(query.specialty.unwrap().as_str(), "backend");
        for (bad, said) in [
            ("statu=failed", "unknown field `statu`"),
            ("status=done", "there is no status 'done'; there are active, pending"),
            ("specialty=No%20Such", "there is no specialty 'No Such'"),
            ("limit=0", "limit is 1 to 500"),
            ("limit=501", "limit is 1 to 500"),
            ("limit=x", "invalid digit"),
            ("after=somewhere", "after is the 'next'"),
        ] {
            let refused = parse(bad).unwrap_err().to_string();
            assert!(refused.contains(said), "{bad}: {refused}");
        }
    }
}
