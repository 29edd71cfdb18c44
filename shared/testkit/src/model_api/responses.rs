//! OpenAI's Responses API, streamed.

use serde_json::json;

use super::{Turn, events};

pub(super) fn reply(turn: &Turn, number: usize) -> (u16, String) {
    let item = match turn {
        Turn::Fail { status, kind, .. } => {
            let error =
                json!({ "error": { "message": format!("scripted {kind}"), "type": kind, "code": kind } });
            return (*status, error.to_string());
        }
        Turn::Call { tool, input } => json!({
            "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
            "name": tool, "arguments": input.to_string(),
        }),
        Turn::Say(text) => message(number, text),
        Turn::Cut | Turn::Hang | Turn::HangMidway => message(number, ""),
    };
    let id = format!("resp_{number}");
    let usage = json!({
        "input_tokens": 100, "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": 10, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 110,
    });
    let all = [
        json!({ "type": "response.created", "response": { "id": id } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": { "id": id, "usage": usage } }),
    ];
    (200, events(&all))
}

fn message(number: usize, text: &str) -> serde_json::Value {
    json!({
        "type": "message", "id": format!("msg_{number}"), "role": "assistant",
        "content": [{ "type": "output_text", "text": text }],
    })
}
