//! What no delivery may do, told without the code that decides it.

use serde_json::Value;

use super::Delivery;

/// Whether this could be meant to start a task.
pub fn may_start(delivery: &Delivery) -> bool {
    let body = delivery.chunks.concat();
    // Fields that nobody reads may hold bytes that are no text, and numbers that are none.
    let Ok(payload) = serde_json::from_str::<Value>(&String::from_utf8_lossy(&body)) else { return true };
    let text =
        |place: &str| payload.pointer(place).and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let human = |place: &str| {
        let (login, kind) = (text(&format!("{place}/login")), text(&format!("{place}/type")));
        !login.ends_with("[bot]") && kind != "bot" && login != "shop-claude"
    };
    let repository = text("/repository/full_name");
    let owner = repository.split('/').next().unwrap_or_default();
    let allowed = ["acme", "codertocat", "octo-org"].contains(&owner);
    let issue =
        payload.pointer("/issue/pull_request").is_none_or(Value::is_null) && text("/issue/state") != "closed";
    let trusts = |association: &str| ["owner", "member", "collaborator"].contains(&association);
    let event =
        delivery.headers.get("x-github-event").and_then(|name| name.to_str().ok()).unwrap_or_default();
    let sender = text("/sender/login");
    let by_author = sender == text("/issue/user/login") && trusts(&text("/issue/author_association"));
    let trusted = match (event, text("/action").as_str()) {
        ("issues", "opened" | "reopened") => {
            trusts(&text("/issue/author_association")) || text("/issue/user/login") == owner
        }
        ("issues", "labeled") => text("/label/name") == "claude" && (by_author || sender == owner),
        ("issue_comment", "created") => {
            let by_commenter =
                sender == text("/comment/user/login") && trusts(&text("/comment/author_association"));
            text("/comment/body").starts_with("/claude") && (by_commenter || by_author || sender == owner)
        }
        _ => false,
    };
    allowed && issue && trusted && human("/sender") && human("/issue/user")
}
