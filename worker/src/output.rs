//! Reading what a program prints, line by line, whatever it prints.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// One line, without its end. What is not UTF-8 is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub text: String,
    /// The line was longer than the limit; `text` is its beginning.
    pub cut: bool,
}

/// Lines of at most `line_bytes_max` bytes; the rest of a longer one is read and dropped.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line_bytes_max: usize,
    partial: Vec<u8>,
    cut: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, line_bytes_max: usize) -> Self {
        Self { reader: BufReader::new(reader), line_bytes_max, partial: Vec::new(), cut: false }
    }

    /// The next line; `Ok(None)` at the end. Cancel safe: what was read so far is kept.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                let unfinished = !self.partial.is_empty() || self.cut;
                return Ok(unfinished.then(|| self.take()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.line_bytes_max - self.partial.len();
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            self.cut |= piece.len() > room;
            let consumed = piece.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if end.is_some() {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        Line { text: text.trim_end_matches('\r').to_owned(), cut: std::mem::take(&mut self.cut) }
    }
}

/// The last lines of an output, within a bound.
pub(crate) struct Tail {
    lines: std::collections::VecDeque<String>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { lines: std::collections::VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn push(&mut self, line: &str) {
        let line = shared::task::cut(line, self.bytes_max / 4);
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > self.bytes_max {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes -= gone.len() + 1;
        }
    }

    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// The last line that says something.
    pub(crate) fn last(&self) -> Option<&str> {
        self.lines.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn lines_of(input: &[u8], max: usize) -> Vec<Line> {
        let mut lines = Lines::new(input, max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_what_follows_is_not_lost() {
        let lines = lines_of(b"ab\n123456789\n\ncd\r\nend", 4).await;
        let texts: Vec<_> = lines.iter().map(|line| (line.text.as_str(), line.cut)).collect();
        assert_eq!(texts, [("ab", false), ("1234", true), ("", false), ("cd", false), ("end", false)]);
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_do_not_end_the_reading() {
        let lines = lines_of(b"\xff\xfe\n\0ok\n", 100).await;
        assert_eq!(lines.len(), 2);
        assert!(lines[1].text.ends_with("ok"));
    }

    #[tokio::test]
    async fn a_line_that_arrives_in_pieces_survives_a_cancelled_wait() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let mut lines = Lines::new(reader, 100);
        writer.write_all(b"sec").await.unwrap();
        tokio::select! {
            biased;
            _ = lines.next() => panic!("there is no whole line yet"),
            () = tokio::task::yield_now() => {}
        }
        writer.write_all(b"ret\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().text, "secret");
    }

    #[test]
    fn a_tail_keeps_the_end_within_its_bound() {
        let mut tail = Tail::new(40);
        for n in 0..100 {
            tail.push(&format!("line {n}"));
        }
        assert!(tail.text().len() <= 40);
        assert!(tail.text().ends_with("line 99"));
    }
}
