//! What a run tells: phases and lines, without secrets, within a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use shared::{
    task::cut,
    task_log::{LINE_BYTES_MAX, LogLine, LogStream},
};
use tokio::sync::{mpsc, watch};

use super::{Phase, Report};
use crate::{output::Line, redact::Redactor};

/// Lines of one run that are reported; an agent that prints without end must not fill the log.
const LINES_MAX: usize = 20_000;

/// Sends reports, and waits when the receiver is slow. One that is gone is no reason to stop.
#[derive(Clone)]
pub(crate) struct Reporter {
    reports: mpsc::Sender<Report>,
    redactor: Arc<Redactor>,
    lines: Arc<AtomicUsize>,
    phase: Arc<watch::Sender<Option<Phase>>>,
}

impl Reporter {
    pub(crate) fn new(reports: mpsc::Sender<Report>, redactor: Arc<Redactor>) -> Self {
        let phase = Arc::new(watch::Sender::new(None));
        Self { reports, redactor, lines: Arc::default(), phase }
    }

    /// The phase that has begun last.
    pub(crate) fn phases(&self) -> watch::Receiver<Option<Phase>> {
        self.phase.subscribe()
    }

    /// Begins a phase. Its time is told by [`Reporter::took`].
    pub(crate) async fn begin(&self, phase: Phase) -> (Phase, Instant) {
        self.phase.send_replace(Some(phase));
        self.send(Report::Phase(phase)).await;
        (phase, Instant::now())
    }

    pub(crate) async fn took(&self, (phase, since): (Phase, Instant)) {
        let took = since.elapsed();
        let text = match took.as_secs() {
            0 => format!("{phase} took {} ms", took.as_millis()),
            _ => format!("{phase} took {:.1} s", took.as_secs_f64()),
        };
        self.engine(&text).await;
    }

    /// A decision of the engine. These few lines are not counted against the bound.
    pub(crate) async fn engine(&self, text: &str) {
        for line in text.lines() {
            self.send(Report::Line(self.clean(LogStream::Engine, line))).await;
        }
    }

    /// Output of the agent or the tests.
    pub(crate) async fn output(&self, stream: LogStream, text: &str) {
        for line in text.lines() {
            match self.lines.fetch_add(1, Ordering::Relaxed) {
                LINES_MAX => {
                    self.engine(&format!("more than {LINES_MAX} lines of output; the rest is not kept"))
                        .await;
                }
                count if count < LINES_MAX => self.send(Report::Line(self.clean(stream, line))).await,
                _ => {}
            }
        }
    }

    /// The text without secrets, for whatever is shown to people elsewhere than in the log.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Call it before the text is cut.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    /// A line as a program printed it, without secrets: also where it was too long to be read whole.
    pub(crate) fn redact_line(&self, line: &Line) -> Line {
        let text = if line.cut { self.redactor.redact_cut(&line.text) } else { self.redact(&line.text) };
        Line { text, cut: line.cut }
    }

    fn clean(&self, stream: LogStream, line: &str) -> LogLine {
        // A progress bar paints over itself: its last state is the line.
        let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or(line);
        // Redacted before it is cut, so that the cut leaves no beginning of a secret, and again afterwards:
        // a control character inside a secret hid it until then.
        let bound = cut(line, 4 * LINE_BYTES_MAX + self.redactor.secret_bytes_max());
        let mut clean = LogLine::new(stream, &self.redactor.redact(bound));
        clean.text = self.redactor.redact(&clean.text).into_owned();
        clean
    }

    async fn send(&self, report: Report) {
        let _ = self.reports.send(report).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter(secret: &str) -> (Reporter, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(8);
        (Reporter::new(sender, Arc::new(Redactor::new([secret]))), receiver)
    }

    #[test]
    fn neither_a_cut_nor_a_control_character_lets_a_secret_through() {
        let (reporter, _receiver) = reporter("s3cret-token");
        let at_the_cut = format!("{}s3cret-token", "x".repeat(LINE_BYTES_MAX - 8));
        for line in ["a s3cret-token b", "s3cr\u{1b}et-token", &at_the_cut] {
            let text = reporter.clean(LogStream::Agent, line).text;
            assert!(!text.contains("s3c"), "{text}");
        }
    }

    #[tokio::test]
    async fn endless_output_ends_with_one_line_that_says_so() {
        let (reporter, mut receiver) = reporter("unused-secret");
        let feed = tokio::spawn(async move {
            for _ in 0..LINES_MAX + 50 {
                reporter.output(LogStream::Test, "y").await;
            }
        });
        let mut lines = Vec::new();
        while let Some(report) = receiver.recv().await {
            lines.push(report);
        }
        feed.await.unwrap();
        assert_eq!(lines.len(), LINES_MAX + 1);
    }
}
