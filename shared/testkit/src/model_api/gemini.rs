//! Google's Gemini API.

use serde_json::json;

use super::Turn;

pub(super) fn reply(turn: &Turn, streamed: bool) -> (u16, String) {
    let part = match turn {
        Turn::Fail { status, kind, .. } => {
            let reason = "type.googleapis.com/google.rpc.ErrorInfo";
            let error = json!({
                "code": status, "status": kind, "message": format!("scripted {kind}"),
                "details": [{ "@type": reason, "reason": kind, "domain": "googleapis.com" }],
            });
            return (*status, json!({ "error": error }).to_string());
        }
        Turn::Call { tool, input } => json!({ "functionCall": { "name": tool, "args": input } }),
        Turn::Say(text) => json!({ "text": text }),
        Turn::Cut | Turn::Hang | Turn::HangMidway => json!({ "text": "" }),
    };
    let answer = json!({
        "candidates": [{
            "content": { "role": "model", "parts": [part] }, "finishReason": "STOP", "index": 0,
        }],
        "usageMetadata": { "promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110 },
        "modelVersion": "gemini-scripted",
    });
    (200, if streamed { format!("data: {answer}\r\n\r\n") } else { answer.to_string() })
}
