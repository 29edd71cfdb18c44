//! `tasks list`: tasks in pages.

use clap::Args;
use serde::Serialize;
use shared::{Specialty, TaskRecord, queue::Queue};

use crate::{
    args::Global,
    clock,
    command::{known_specialty, on_queue},
    error::CommandError,
    render,
};

/// What somebody looks for comes first: what runs, what waits, what went wrong.
const STATUSES: [&str; 7] = ["active", "pending", "delayed", "held", "failed", "cancelled", "completed"];

/// Tasks that one read of the queue returns at most.
const PAGE: usize = 100;

#[derive(Debug, Args)]
pub struct List {
    /// Only these, by commas: active, pending, delayed, held, failed, cancelled, completed.
    #[arg(long, value_delimiter = ',', value_parser = STATUSES)]
    status: Vec<String>,
    /// Only of this specialty.
    #[arg(long, value_name = "NAME")]
    specialty: Option<String>,
    /// Most tasks to show.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Go on behind the page before: what that printed as `next`.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Page {
    tasks: Vec<TaskRecord>,
    /// What `--after` takes for the next page; `null` after the last.
    next: Option<String>,
}

/// Where a list begins: `status/specialty/place`.
struct At {
    status: String,
    specialty: Specialty,
    place: Option<String>,
}

impl List {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        let page = on_queue(global, async |session, queue| {
            let specialties = match &self.specialty {
                Some(name) => vec![known_specialty(session, queue, name).await?],
                None => queue.specialties().await?,
            };
            self.read(queue, &specialties).await
        });
        let page = page.await?;
        if self.json {
            return render::json(&page);
        }
        if page.tasks.is_empty() && page.next.is_none() {
            return render::line("no task");
        }
        let heading = ["TASK", "STATUS", "SPECIALTY", "PRIORITY", "CREATED", "REPOSITORY", "TITLE"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(page.tasks.iter().map(row));
        render::table(&rows)?;
        match &page.next {
            Some(next) => render::line(format!("more: --after '{next}'")),
            None => Ok(()),
        }
    }

    async fn read(&self, queue: &Queue, specialties: &[Specialty]) -> Result<Page, CommandError> {
        let mut starts = self.starts(specialties)?.into_iter();
        let (mut tasks, mut next) = (Vec::new(), starts.next());
        while let Some(at) = next.take() {
            if tasks.len() >= self.limit {
                next = Some(at);
                break;
            }
            let count = (self.limit - tasks.len()).min(PAGE);
            let page = queue.list(&at.specialty, &at.status, at.place.as_deref(), count).await?;
            tasks.extend(page.tasks);
            next = match page.next {
                Some(place) => Some(At { place: Some(place), ..at }),
                None => starts.next(),
            };
        }
        Ok(Page { tasks, next: next.map(|at| at.text()) })
    }

    fn starts(&self, specialties: &[Specialty]) -> Result<Vec<At>, CommandError> {
        let wanted = |status: &&str| self.status.is_empty() || self.status.iter().any(|s| s == status);
        let starts = STATUSES.iter().filter(|status| wanted(status)).flat_map(|status| {
            let at = |specialty: &Specialty| At {
                status: (*status).to_owned(),
                specialty: specialty.clone(),
                place: None,
            };
            specialties.iter().map(at)
        });
        let Some(after) = &self.after else { return Ok(starts.collect()) };
        let refuse = || CommandError::Usage(format!("--after '{after}' is not what a page before printed"));
        let at = At::parse(after).ok_or_else(refuse)?;
        let same = |start: &At| start.status == at.status && start.specialty == at.specialty;
        let mut rest: Vec<At> = starts.skip_while(|start| !same(start)).collect();
        *rest.first_mut().ok_or_else(refuse)? = at;
        Ok(rest)
    }
}

impl At {
    fn text(&self) -> String {
        format!("{}/{}/{}", self.status, self.specialty, self.place.as_deref().unwrap_or_default())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (status, specialty, place) = (parts.next()?, parts.next()?, parts.next()?);
        let place = (!place.is_empty()).then(|| place.to_owned());
        Some(Self { status: status.to_owned(), specialty: specialty.parse().ok()?, place })
    }
}

fn row(record: &TaskRecord) -> Vec<String> {
    vec![
        record.id.to_string(),
        record.status.name().to_owned(),
        record.specialty.to_string(),
        record.priority.to_string(),
        render::ago(record.created_at, clock::now()),
        record.issue.map_or_else(|| record.repository.to_string(), |n| format!("{}#{n}", record.repository)),
        record.title.clone(),
    ]
}
