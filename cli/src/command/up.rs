//! `up`: a private redis-server (unless one is configured), the ingester with its API and the workers, as one process tree.

mod part;

use std::ffi::OsString;

use clap::Args;
use tokio::sync::mpsc;

use self::part::{Ended, Part};
use super::worker::WorkerOptions;
use crate::{
    args::Global,
    embedded_redis::Need,
    environment,
    error::CommandError,
    exit_code::ExitCode,
    listen_args::ListenArgs,
    render,
    session::{Connection, Log, Session},
    signals::{Signals, Urgency},
};

/// Most workers that one `up` starts; each takes several tasks at a time.
const WORKERS_MAX: i64 = 32;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  claude-cluster up
  claude-cluster up --workers 2 --max-tasks 1 --listen 0.0.0.0:8000

First SIGTERM or Ctrl-C: no new tasks, what runs is finished, then everything ends. Second: tasks are given back at \
once. Third: everything is killed. A part that crashes is started again.")]
pub struct Up {
    /// Worker processes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=WORKERS_MAX))]
    workers: u16,
    #[command(flatten)]
    options: WorkerOptions,
    #[command(flatten)]
    listen: ListenArgs,
}

impl Up {
    pub async fn run(self, global: &Global) -> Result<(), CommandError> {
        // The parts read the same layers again; what is wrong with them is said once, here.
        let mut flags = self.options.overrides()?;
        flags.extend(self.listen.overrides());
        let session = Session::start(global, flags, Log::Service)?;
        let signals = Signals::listen(global.part_of).map_err(CommandError::io("handle signals"))?;
        let connection = session.connect(Need::Serve)?;
        let result = self.supervise(global, &session, &connection, signals).await;
        connection.close();
        result
    }

    async fn supervise(
        &self,
        global: &Global,
        session: &Session,
        connection: &Connection,
        mut signals: Signals,
    ) -> Result<(), CommandError> {
        connection.require_usable().await?;
        if let Some(url) = connection.private_url() {
            render::line(format!("private redis: redis-cli -s {}", url.trim_start_matches("unix://")))?;
        }
        let (ended, mut endings) = mpsc::channel(usize::from(self.workers) + 1);
        let mut parts = vec![part("ingest", global, &self.ingest_arguments(), &ended)?];
        for number in 1..=self.workers {
            let arguments = self.worker_arguments(session, number);
            parts.push(part(&format!("worker {number}"), global, &arguments, &ended)?);
        }
        drop(ended);
        let mut told = None;
        let mut failure = None;
        loop {
            tokio::select! {
                request = signals.wait(if told.is_none() { Urgency::Drain } else { Urgency::Now }),
                    if told != Some(Urgency::Now) =>
                {
                    let steps = if told.is_none() && request.urgency == Urgency::Now { 2 } else { 1 };
                    for _ in 0..steps {
                        parts.iter().for_each(Part::terminate);
                    }
                    told = Some(request.urgency);
                }
                ending = endings.recv() => match ending {
                    None => break,
                    // One part that cannot run makes the whole useless.
                    Some(Ended { name, code }) if told.is_none() && failure.is_none() => {
                        failure = Some((name, code));
                        parts.iter().for_each(Part::terminate);
                    }
                    Some(_) => {}
                },
            }
        }
        match failure {
            None => Ok(()),
            Some((name, code)) => Err(CommandError::Part { name, code }),
        }
    }

    fn ingest_arguments(&self) -> Vec<String> {
        std::iter::once("ingest".to_owned()).chain(self.listen.arguments()).collect()
    }

    /// Several workers of one host need names of their own.
    fn worker_arguments(&self, session: &Session, number: u16) -> Vec<String> {
        let mut arguments = vec!["worker".to_owned()];
        arguments.extend(self.options.arguments());
        if self.workers > 1 {
            let base = &session.config().worker.node_id;
            let base = if base.is_empty() { environment::host_name() } else { base.clone() };
            arguments.push(format!("--node-id={base}-{number}"));
        }
        arguments
    }
}

fn part(
    name: &str,
    global: &Global,
    arguments: &[String],
    ended: &mpsc::Sender<Ended>,
) -> Result<Part, CommandError> {
    let arguments = global.arguments().into_iter().chain(arguments.iter().map(OsString::from)).collect();
    Part::start(name, arguments, ended.clone()).map_err(CommandError::io(format!("start {name}")))
}

/// Whether starting a part again that ended so can help.
fn is_lasting(code: Option<i32>) -> bool {
    code.is_some_and(ExitCode::is_lasting)
}
