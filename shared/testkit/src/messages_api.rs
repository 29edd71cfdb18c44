//! A stand-in for the Messages API on loopback: no model, no account, answers by script.
//!
//! Speaks as much HTTP/1.1 and as many server-sent events as Claude Code needs for `POST /v1/messages`.

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

/// What the scripted model does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Says this and ends.
    Say(String),
    /// Calls a tool; the next request brings its result.
    Call { tool: String, input: Value },
    /// Answers with an error: HTTP status and the API's error type.
    Fail { status: u16, kind: String },
}

impl Turn {
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    pub fn bash(command: &str) -> Self {
        Self::call("Bash", json!({ "command": command, "description": "scripted" }))
    }

    pub fn call(tool: &str, input: Value) -> Self {
        Self::Call { tool: tool.to_owned(), input }
    }

    pub fn fail(status: u16, kind: &str) -> Self {
        Self::Fail { status, kind: kind.to_owned() }
    }
}

/// A request of the conversation.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which request this is, from 0; repeated ones count.
    pub number: usize,
    /// The request as it came.
    pub body: Value,
    /// Whether the expected key came with it.
    pub key: Option<String>,
}

impl Asked {
    /// The text of the latest tool result; empty before the first.
    pub fn tool_result(&self) -> String {
        let messages = self.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let blocks = messages.iter().rev().filter_map(|message| message["content"].as_array()).flatten();
        let result =
            blocks.filter(|block| block["type"] == "tool_result").map(|block| &block["content"]).next();
        match result {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
            _ => String::new(),
        }
    }
}

type Script = dyn Fn(&Asked) -> Turn + Send + Sync;

/// A running stand-in; ends when dropped.
pub struct MessagesApi {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl MessagesApi {
    /// Answers every request of a conversation as `script` says. Requests without tools, such as one for a title,
    /// are no part of it and get a word in answer.
    pub fn start(script: impl Fn(&Asked) -> Turn + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let server = Arc::new(Server {
            script: Box::new(script),
            asked: Arc::clone(&asked),
            number: AtomicUsize::new(0),
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

    /// For `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The conversation's requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for MessagesApi {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
    }
}

struct Server {
    script: Box<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
    number: AtomicUsize,
}

impl Server {
    /// One request a connection. A client that goes away is its own business.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(READ_TIMEOUT));
        if let Ok((path, key, body)) = read_request(&stream) {
            let _ = stream.write_all(&self.answer(&path, key, &body));
        }
    }

    fn answer(&self, path: &str, key: Option<String>, body: &[u8]) -> Vec<u8> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if !path.starts_with("/v1/messages?") && path != "/v1/messages" {
            return failure(404, "not_found_error");
        }
        let streamed = body["stream"] == true;
        if body["tools"].as_array().is_none_or(Vec::is_empty) {
            return reply(&Turn::say("ok"), 0, streamed);
        }
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let asked = Asked { number, body, key };
        let turn = (self.script)(&asked);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        reply(&turn, number, streamed)
    }
}

fn read_request(stream: &TcpStream) -> io::Result<(String, Option<String>, Vec<u8>)> {
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
            "x-api-key" => key = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; usize::min(length, BODY_BYTES_MAX)];
    reader.read_exact(&mut body)?;
    Ok((path, key, body))
}

fn reply(turn: &Turn, number: usize, streamed: bool) -> Vec<u8> {
    let (block, stop_reason) = match turn {
        Turn::Fail { status, kind } => return failure(*status, kind),
        Turn::Say(text) => (json!({ "type": "text", "text": text }), "end_turn"),
        Turn::Call { tool, input } => {
            let id = format!("toolu_scripted{number:04}");
            (json!({ "type": "tool_use", "id": id, "name": tool, "input": input }), "tool_use")
        }
    };
    let mut message = json!({
        "id": format!("msg_scripted{number:04}"), "type": "message", "role": "assistant",
        "model": "claude-scripted", "content": [block], "stop_reason": stop_reason, "stop_sequence": null,
        "usage": { "input_tokens": 100, "output_tokens": 10 },
    });
    if !streamed {
        return http(200, "application/json", &message.to_string());
    }
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    let (start, delta) = match turn {
        Turn::Call { input, .. } => {
            let mut empty = block.clone();
            empty["input"] = json!({});
            (empty, json!({ "type": "input_json_delta", "partial_json": input.to_string() }))
        }
        _ => (json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": block["text"] })),
    };
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": start }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta", "delta": { "stop_reason": stop_reason, "stop_sequence": null },
            "usage": { "output_tokens": 10 },
        }),
        json!({ "type": "message_stop" }),
    ];
    let lines = events.iter().map(|event| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    });
    http(200, "text/event-stream", &lines.collect::<String>())
}

fn failure(status: u16, kind: &str) -> Vec<u8> {
    let error = json!({ "type": "error", "error": { "type": kind, "message": format!("scripted {kind}") } });
    http(status, "application/json", &error.to_string())
}

fn http(status: u16, content_type: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}
