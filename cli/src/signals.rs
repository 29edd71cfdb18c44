//! Signals from the terminal, the service manager or a parent process; nothing else in the project handles any.

use std::{io, process};

use nix::unistd::getppid;
use tokio::{
    signal::unix::{Signal as Stream, SignalKind, signal},
    sync::watch,
};

use crate::exit_code::ExitCode;

/// How urgently this process is to end; each further signal raises it, the third ends the process at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Begin nothing new and finish what is under way.
    Drain,
    /// Give up what is under way, in order.
    Now,
}

/// A request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub urgency: Urgency,
    /// The number of the signal that came last.
    pub signal: i32,
}

/// The requests of this process, as they come.
#[derive(Clone)]
pub struct Signals(watch::Receiver<Option<Request>>);

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP. Call it within a runtime, once.
    ///
    /// `parent`: the process that started this one as a part of itself. When it is gone, nobody will send a second
    /// signal, so the first one counts for two.
    pub fn listen(parent: Option<i32>) -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let (requests, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let mut urgency = None;
            loop {
                let kind = next(&mut terminate, &mut interrupt, &mut hang_up).await;
                let signal = kind.as_raw_value();
                let orphaned = parent.is_some_and(|parent| getppid().as_raw() != parent);
                urgency = match urgency {
                    None if !orphaned => Some(Urgency::Drain),
                    None | Some(Urgency::Drain) => Some(Urgency::Now),
                    // Children die with this process: the kernel sees to it.
                    Some(Urgency::Now) => process::exit(ExitCode::Signal(signal).number().into()),
                };
                requests.send_replace(urgency.map(|urgency| Request { urgency, signal }));
            }
        });
        Ok(Self(receiver))
    }

    /// Waits for a request that is at least as urgent as `urgency`.
    pub async fn wait(&mut self, urgency: Urgency) -> Request {
        loop {
            let request = *self.0.borrow_and_update();
            if let Some(request) = request.filter(|request| request.urgency >= urgency) {
                return request;
            }
            if self.0.changed().await.is_err() {
                // The listener lives as long as the runtime does.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The request so far.
    pub fn request(&self) -> Option<Request> {
        *self.0.borrow()
    }
}

async fn next(terminate: &mut Stream, interrupt: &mut Stream, hang_up: &mut Stream) -> SignalKind {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = hang_up.recv() => SignalKind::hangup(),
    }
}
