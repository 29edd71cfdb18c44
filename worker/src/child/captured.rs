//! Short programs whose output is read as a whole.

use std::{io, time::Duration};

use super::{Ending, Job, Limits, Nursery, Pipe, Sink, drive};
use crate::output::{Line, Tail};

/// Standard output that is kept, in bytes: the refs of a very large repository fit.
const STDOUT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// End of standard error that is kept, in bytes.
const STDERR_BYTES_MAX: usize = 4 * 1024;

/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How a program ended, and what it said.
pub(crate) struct Captured {
    pub ending: Ending,
    pub stdout: String,
    /// There was more than is kept.
    pub cut: bool,
    pub stderr: Tail,
}

/// Drives `job` to its end and keeps its output, within bounds.
pub(crate) async fn capture(
    nursery: &Nursery,
    job: Job,
    input: &[u8],
    wall_clock: Duration,
) -> io::Result<Captured> {
    let mut heard = Heard { stdout: String::new(), cut: false, stderr: Tail::new(STDERR_BYTES_MAX) };
    let limits = Limits { wall_clock, silence: None, line_bytes_max: LINE_BYTES_MAX };
    let ending = drive(nursery, job, input, limits, &mut heard).await?;
    Ok(Captured { ending, stdout: heard.stdout, cut: heard.cut, stderr: heard.stderr })
}

struct Heard {
    stdout: String,
    cut: bool,
    stderr: Tail,
}

impl Sink for Heard {
    async fn line(&mut self, from: Pipe, line: Line) {
        match from {
            Pipe::Stdout if self.stdout.len() + line.text.len() < STDOUT_BYTES_MAX => {
                self.cut |= line.cut;
                self.stdout.push_str(&line.text);
                self.stdout.push('\n');
            }
            Pipe::Stdout => self.cut = true,
            Pipe::Stderr => self.stderr.push(&line.text),
        }
    }
}
