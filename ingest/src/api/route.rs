//! What is served where, and to whom.

use warp::http::Method;

use super::refusal::Refusal;

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Read(Read),
    Write(Write),
}

/// What only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Health,
    Ready,
    OpenApi,
    Status,
    ClusterStatus,
    QueueStatus,
    Agents,
    Tasks,
    Task,
    Logs,
    Events,
}

/// What changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    NewTask,
    Cancel,
    Retry,
    Priority,
    Specialty,
    Change,
    Delete,
    Pause,
    Resume,
    Drain,
    Undrain,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing: it tells nothing about the cluster.
    Open,
    /// The token, except where reads are open.
    Read,
    /// The token.
    Write,
}

struct Route {
    method: &'static str,
    /// `{id}` stands for any one segment.
    template: &'static str,
    endpoint: Endpoint,
    guard: Guard,
}

const fn get(template: &'static str, guard: Guard, endpoint: Read) -> Route {
    Route { method: "GET", template, endpoint: Endpoint::Read(endpoint), guard }
}

const fn post(template: &'static str, endpoint: Write) -> Route {
    write("POST", template, endpoint)
}

const fn write(method: &'static str, template: &'static str, endpoint: Write) -> Route {
    Route { method, template, endpoint: Endpoint::Write(endpoint), guard: Guard::Write }
}

const ROUTES: [Route; 22] = [
    get("/health", Guard::Open, Read::Health),
    get("/ready", Guard::Open, Read::Ready),
    get("/openapi.json", Guard::Open, Read::OpenApi),
    get("/status", Guard::Read, Read::Status),
    get("/api/cluster/status", Guard::Read, Read::ClusterStatus),
    get("/api/queue/status", Guard::Read, Read::QueueStatus),
    get("/api/agents", Guard::Read, Read::Agents),
    get("/api/tasks", Guard::Read, Read::Tasks),
    post("/api/tasks", Write::NewTask),
    get("/api/tasks/{id}", Guard::Read, Read::Task),
    write("PATCH", "/api/tasks/{id}", Write::Change),
    write("DELETE", "/api/tasks/{id}", Write::Delete),
    get("/api/tasks/{id}/logs", Guard::Read, Read::Logs),
    post("/api/tasks/{id}/cancel", Write::Cancel),
    post("/api/tasks/{id}/retry", Write::Retry),
    post("/api/tasks/{id}/priority", Write::Priority),
    post("/api/tasks/{id}/specialty", Write::Specialty),
    get("/api/events", Guard::Read, Read::Events),
    post("/api/specialties/{id}/pause", Write::Pause),
    post("/api/specialties/{id}/resume", Write::Resume),
    post("/api/agents/{id}/drain", Write::Drain),
    post("/api/agents/{id}/undrain", Write::Undrain),
];

/// Where a request goes.
#[derive(Debug)]
pub struct Found<'p> {
    pub endpoint: Endpoint,
    pub guard: Guard,
    /// What stands for `{id}`; empty where the path has none.
    pub id: &'p str,
}

/// # Errors
/// [`Refusal::NoSuchPath`], or [`Refusal::NoSuchMethod`] with the methods that the path takes.
pub fn find<'p>(method: &Method, path: &'p str) -> Result<Found<'p>, Refusal> {
    // The server sends the head alone to whoever asks for no more.
    let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut allowed = Vec::new();
    for route in &ROUTES {
        let Some(id) = matched(route.template, path) else { continue };
        if route.method == wanted {
            return Ok(Found { endpoint: route.endpoint, guard: route.guard, id });
        }
        allowed.push(if route.method == "GET" { "GET, HEAD" } else { route.method });
    }
    if allowed.is_empty() { Err(Refusal::NoSuchPath) } else { Err(Refusal::NoSuchMethod(allowed.join(", "))) }
}

/// What of `path` stands for `{id}`, where it fits the template.
fn matched<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((head, tail)) = template.split_once("{id}") else {
        return (template == path).then_some("");
    };
    let id = path.strip_prefix(head)?.strip_suffix(tail)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn paths_are_found_and_tell_what_they_take() {
        let found = find(&Method::POST, "/api/tasks/a-1/cancel").unwrap();
        assert_eq!((found.endpoint, found.id), (Endpoint::Write(Write::Cancel), "a-1"));
        assert_eq!(find(&Method::HEAD, "/health").unwrap().endpoint, Endpoint::Read(Read::Health));
        for unknown in ["/", "", "/api/tasks/", "/api/tasks//cancel", "/api/tasks/a/b", "/Health", "/health/"]
        {
            assert!(matches!(find(&Method::GET, unknown), Err(Refusal::NoSuchPath)), "{unknown}");
        }
        let Err(Refusal::NoSuchMethod(allow)) = find(&Method::DELETE, "/api/tasks") else { panic!() };
        assert_eq!(allow, "GET, HEAD, POST");
    }

    #[test]
    fn the_served_description_has_exactly_the_routes_that_exist() {
        let text: Value = serde_json::from_str(crate::api::OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = text["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let served =
            ROUTES.iter().map(|route| (route.template.to_owned(), route.method.to_owned())).collect();
        assert_eq!(described, served);
        for route in &ROUTES {
            let operation = &text["paths"][route.template][route.method.to_lowercase()];
            let open = operation["security"] == serde_json::json!([]);
            assert_eq!(open, route.guard == Guard::Open, "{}", route.template);
        }
    }
}
