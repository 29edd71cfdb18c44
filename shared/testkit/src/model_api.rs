//! A stand-in for the APIs of language models on loopback: no model, no account, answers by script.
//!
//! Speaks as much HTTP/1.1 and as many server-sent events as the coding CLIs need.

mod gemini;
mod messages;
mod responses;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};

/// Largest request body, in bytes.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a request may take to come in.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Between looks whether a client that is left waiting has gone.
const HANG_LOOK: Duration = Duration::from_millis(50);

/// Whose API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Anthropic's Messages API, for Claude Code.
    Messages,
    /// OpenAI's Responses API, for Codex.
    Responses,
    /// Google's Gemini API, for Gemini CLI.
    Gemini,
}

/// What the scripted model does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Says this and ends.
    Say(String),
    /// Calls a tool; the next request brings its result.
    Call { tool: String, input: Value },
    /// Answers with an error: HTTP status, the API's error type, and further headers.
    Fail { status: u16, kind: String, headers: Vec<(String, String)> },
    /// Begins an answer and closes the connection.
    Cut,
    /// Never answers.
    Hang,
    /// Begins an answer and never goes on.
    HangMidway,
}

impl Turn {
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    /// A call of Claude Code's Bash.
    pub fn bash(command: &str) -> Self {
        Self::call("Bash", json!({ "command": command, "description": "scripted" }))
    }

    pub fn call(tool: &str, input: Value) -> Self {
        Self::Call { tool: tool.to_owned(), input }
    }

    pub fn fail(status: u16, kind: &str) -> Self {
        Self::fail_with(status, kind, &[])
    }

    pub fn fail_with(status: u16, kind: &str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::Fail { status, kind: kind.to_owned(), headers }
    }
}

/// A request of the conversation.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which request this is, from 0; repeated ones count.
    pub number: usize,
    /// The request as it came.
    pub body: Value,
    /// The key that came with it.
    pub key: Option<String>,
}

impl Asked {
    /// The text of the latest tool result; empty before the first. Of the Messages API only.
    pub fn tool_result(&self) -> String {
        messages::tool_result(&self.body)
    }

    /// Whether `text` stands anywhere in the conversation.
    pub fn mentions(&self, text: &str) -> bool {
        self.body.to_string().contains(text)
    }
}

type Script = dyn Fn(&Asked) -> Turn + Send + Sync;

/// A running stand-in; ends when dropped.
pub struct ModelApi {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl ModelApi {
    /// Answers every request of a conversation as `script` says. Requests beside it, such as one for a title, are no
    /// part of it and get a word in answer.
    pub fn start(dialect: Dialect, script: impl Fn(&Asked) -> Turn + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let server = Arc::new(Server {
            dialect,
            script: Box::new(script),
            asked: Arc::clone(&asked),
            number: AtomicUsize::new(0),
            over: Arc::clone(&over),
        });
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let server = Arc::clone(&server);
                thread::spawn(move || server.serve(stream));
            }
        });
        Ok(Self { url, asked, over })
    }

    /// The address, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The conversation's requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ModelApi {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

/// Begins the question which specialty a task belongs to.
const OPINION: &str = "Which kind of work";

struct Server {
    dialect: Dialect,
    script: Box<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    number: AtomicUsize,
    over: Arc<AtomicBool>,
}

struct Request {
    path: String,
    key: Option<String>,
    body: Value,
}

impl Server {
    /// One request a connection. A client that goes away is its own business.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(READ_TIMEOUT));
        let Ok(Request { path, key, body }) = read_request(&stream) else { return };
        let streamed = match self.dialect {
            Dialect::Messages => body["stream"] == true,
            Dialect::Responses => true,
            Dialect::Gemini => path.contains(":streamGenerateContent"),
        };
        if !self.is_known(&path) {
            let _ = stream.write_all(&http(404, "application/json", &[], "{}"));
            return;
        }
        if !self.is_conversation(&body) {
            let _ = stream.write_all(&self.reply(&Turn::say("ok"), 0, streamed));
            return;
        }
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let asked = Asked { number, body, key };
        let turn = (self.script)(&asked);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        match turn {
            Turn::Hang => self.hang(&stream),
            Turn::Cut | Turn::HangMidway => {
                let whole = self.reply(&Turn::say("This answer never ends."), number, streamed);
                let _ = stream.write_all(&whole[..whole.len() * 2 / 3]);
                if turn == Turn::HangMidway {
                    self.hang(&stream);
                }
            }
            turn => drop(stream.write_all(&self.reply(&turn, number, streamed))),
        }
    }

    /// Keeps the client waiting until it goes or the stand-in ends.
    fn hang(&self, mut stream: &TcpStream) {
        let _ = stream.set_read_timeout(Some(HANG_LOOK));
        while !self.over.load(Ordering::SeqCst) {
            match stream.read(&mut [0; 64]) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(_) => return,
            }
        }
    }

    fn is_known(&self, path: &str) -> bool {
        match self.dialect {
            Dialect::Messages => path == "/v1/messages" || path.starts_with("/v1/messages?"),
            Dialect::Responses => path == "/v1/responses",
            Dialect::Gemini => path.contains("enerateContent"),
        }
    }

    fn is_conversation(&self, body: &Value) -> bool {
        let has_tools = || body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        // What the CLI asks beside the conversation has no tools; nor has the worker's own question.
        self.dialect != Dialect::Messages || has_tools() || body.to_string().contains(OPINION)
    }

    fn reply(&self, turn: &Turn, number: usize, streamed: bool) -> Vec<u8> {
        let headers = match turn {
            Turn::Fail { headers, .. } => headers.as_slice(),
            _ => &[],
        };
        let (status, body) = match self.dialect {
            Dialect::Messages => messages::reply(turn, number, streamed),
            Dialect::Responses => responses::reply(turn, number),
            Dialect::Gemini => gemini::reply(turn, streamed),
        };
        let events = status == 200 && streamed;
        http(status, if events { "text/event-stream" } else { "application/json" }, headers, &body)
    }
}

fn read_request(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut key) = (0, None);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "x-api-key" | "x-goog-api-key" => key = Some(value.trim().to_owned()),
            "authorization" => key = Some(value.trim().trim_start_matches("Bearer ").to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; usize::min(length, BODY_BYTES_MAX)];
    reader.read_exact(&mut body)?;
    Ok(Request { path, key, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Server-sent events, each named as its type says.
fn events(events: &[Value]) -> String {
    let lines = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    });
    lines.collect()
}

fn http(status: u16, content_type: &str, headers: &[(String, String)], body: &str) -> Vec<u8> {
    let mut lines = vec![
        format!("HTTP/1.1 {status} Scripted"),
        format!("Content-Type: {content_type}"),
        format!("Content-Length: {}", body.len()),
        "Connection: close".to_owned(),
    ];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}
