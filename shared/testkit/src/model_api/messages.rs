//! Anthropic's Messages API.

use serde_json::{Value, json};

use super::{Turn, events};

/// The text of the latest tool result.
pub(super) fn tool_result(body: &Value) -> String {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let blocks = messages.iter().rev().filter_map(|message| message["content"].as_array()).flatten();
    let result = blocks.filter(|block| block["type"] == "tool_result").map(|block| &block["content"]).next();
    match result {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

pub(super) fn reply(turn: &Turn, number: usize, streamed: bool) -> (u16, String) {
    let (block, stop_reason) = match turn {
        Turn::Fail { status, kind, .. } => {
            let message = match kind.as_str() {
                // The one failure that is known by its words: it has no type of its own.
                "billing_error" => "Your credit balance is too low to access the Anthropic API.".to_owned(),
                _ => format!("scripted {kind}"),
            };
            let kind = if kind == "billing_error" { "invalid_request_error" } else { kind };
            return (
                *status,
                json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string(),
            );
        }
        Turn::Call { tool, input } => {
            let id = format!("toolu_scripted{number:04}");
            (json!({ "type": "tool_use", "id": id, "name": tool, "input": input }), "tool_use")
        }
        Turn::Say(text) => (json!({ "type": "text", "text": text }), "end_turn"),
        Turn::Cut | Turn::Hang | Turn::HangMidway => (json!({ "type": "text", "text": "" }), "end_turn"),
    };
    let mut message = json!({
        "id": format!("msg_scripted{number:04}"), "type": "message", "role": "assistant",
        "model": "claude-scripted", "content": [block], "stop_reason": stop_reason, "stop_sequence": null,
        "usage": { "input_tokens": 100, "output_tokens": 10 },
    });
    if !streamed {
        return (200, message.to_string());
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
    let all = [
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
    (200, events(&all))
}
