//! Prism, which judges requests by GitHub's description of its API.

use std::{
    collections::BTreeSet,
    env, fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use testkit::{
    http_client::{self, Answered},
    http_server::Asked,
};

/// How long Prism may take to start.
const START_MAX: Duration = Duration::from_secs(120);

/// A request as it was sent, and is sent again.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// From the API's root.
    pub path: String,
    pub query: String,
    pub body: Value,
}

impl Request {
    pub fn of(asked: &Asked) -> Self {
        let path = asked.path.strip_prefix("/api/v3").or_else(|| asked.path.strip_prefix("/api"));
        let path = path.unwrap_or(&asked.path).to_owned();
        let body = serde_json::from_slice(&asked.body).unwrap_or_default();
        Self { method: asked.method.clone(), path, query: asked.query.clone(), body }
    }

    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub fn query_names(&self) -> Vec<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split('=').next())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

/// The process; ends when dropped.
pub struct Prism {
    child: Child,
    url: String,
    /// What it judges by.
    description: Value,
    _dir: TempDir,
}

impl Prism {
    /// Starts it with the paths of `requests` and what they refer to: with all of them it takes minutes.
    pub async fn start(requests: &[&Request]) -> Self {
        let given = |name: &str| {
            env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run scripts/test --real"))
        };
        let whole = fs::read(given("CLAUDE_CLUSTER_TEST_OPENAPI")).unwrap();
        let cut = cut(&serde_json::from_slice(&whole).unwrap(), requests);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("github.json");
        fs::write(&file, cut.to_string()).unwrap();
        // It cannot choose a port by itself.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = dir.path().join("prism.log");
        let out = fs::File::create(&log).unwrap();
        let child = Command::new(given("CLAUDE_CLUSTER_TEST_NODE"))
            .arg(given("CLAUDE_CLUSTER_TEST_PRISM"))
            .args(["mock", "--multiprocess=false", "--host", "127.0.0.1", "--port", &port.to_string()])
            .arg(&file)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let prism = Self { child, url: format!("http://127.0.0.1:{port}"), description: cut, _dir: dir };
        let began = Instant::now();
        while http_client::send("GET", &format!("{}/", prism.url), &[], Vec::new().into()).await.is_err() {
            let said = fs::read_to_string(&log).unwrap();
            assert!(began.elapsed() < START_MAX, "Prism does not start: {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        prism
    }

    pub async fn assert_allowed(&self, request: &Request) {
        let answered = self.send(request).await;
        let said = String::from_utf8_lossy(&answered.body);
        assert!(answered.status < 400, "{request:#?}: {} {said}", answered.status);
        assert_eq!(wrong(&answered), [""; 0], "{request:#?}");
        self.assert_names_are_known(request);
    }

    /// That the description requires what an empty body does not have. Prism lets an empty object pass.
    pub fn assert_lacks_something(&self, request: &Request) {
        let operation = self.operation(request);
        let schema = self.resolved(&operation["requestBody"]["content"]["application/json"]["schema"]);
        assert!(!schema["required"].as_array().unwrap().is_empty(), "{request:#?}");
    }

    fn operation(&self, request: &Request) -> &Value {
        &self.description["paths"][template(&self.description, request)][request.method.to_lowercase()]
    }

    /// Names in query and body that the description does not have: Prism lets them pass, and GitHub ignores them.
    fn assert_names_are_known(&self, request: &Request) {
        let operation = self.operation(request);
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<&Value> = parameters.map(|parameter| self.resolved(parameter)).collect();
        for name in request.query_names() {
            let known = parameters.iter().any(|known| known["in"] == "query" && known["name"] == name);
            assert!(known, "{name} in the query of {request:#?}");
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let schema = self.resolved(schema);
        // One schema, or one out of several.
        let several = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
        let schemas: Vec<&Value> = several.map(|one| self.resolved(one)).chain([schema]).collect();
        for name in request.body.as_object().into_iter().flatten().map(|(name, _)| name) {
            let known = schemas.iter().any(|schema| schema["properties"].get(name).is_some());
            assert!(known, "{name} in the body of {request:#?}");
        }
    }

    /// What a reference refers to.
    fn resolved<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value["$ref"].as_str() {
            Some(reference) => self.description.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    pub async fn assert_refused(&self, request: &Request) {
        let answered = self.send(request).await;
        assert!(answered.status == 422 && !wrong(&answered).is_empty(), "{request:#?}: {}", answered.status);
    }

    async fn send(&self, request: &Request) -> Answered {
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let url = format!("{}{}{query}", self.url, request.path);
        let headers = [
            ("authorization", "Bearer x"),
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ];
        let (headers, body) = match &request.body {
            Value::Null => (&headers[..1], String::new()),
            body => (&headers[..], body.to_string()),
        };
        http_client::send(&request.method, &url, headers, body.into()).await.unwrap()
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is wrong with the request. Prism tells in the same place what is wrong with its own made-up answer.
fn wrong(answered: &Answered) -> Vec<String> {
    let told = answered.headers.get("sl-violations").and_then(|value| value.to_str().ok()).unwrap_or("[]");
    let told: Vec<Value> = serde_json::from_str(told).unwrap();
    told.iter().filter(|violation| violation["location"][0] == "request").map(Value::to_string).collect()
}

/// The description with the paths that are asked for, and what they refer to.
fn cut(whole: &Value, requests: &[&Request]) -> Value {
    let mut kept = Map::new();
    for request in requests {
        let template = template(whole, request);
        kept.insert(template.to_owned(), whole["paths"][template].clone());
    }
    let mut wanted: Vec<String> = kept.values().flat_map(references).collect();
    let mut seen = BTreeSet::new();
    let mut components = Map::new();
    while let Some(reference) = wanted.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        let pointer = reference.trim_start_matches('#');
        let part = whole.pointer(pointer).unwrap();
        wanted.extend(references(part));
        let (kind, name) = pointer.trim_start_matches("/components/").split_once('/').unwrap();
        components.entry(kind).or_insert_with(|| json!({}))[name] = part.clone();
    }
    json!({
        "openapi": whole["openapi"], "info": whole["info"], "servers": whole["servers"], "paths": kept,
        "components": components
    })
}

fn template<'d>(description: &'d Value, request: &Request) -> &'d str {
    let templates = description["paths"].as_object().unwrap().keys();
    let fits = |template: &&String| matches(template, &request.path);
    // `/issues/comments` is an issue's number to `/issues/{issue_number}`: the fewest placeholders win.
    let template = templates.filter(fits).min_by_key(|template| template.matches('{').count());
    template.unwrap_or_else(|| panic!("GitHub has no {}", request.name()))
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(wanted, given): (&&str, &&str)| wanted.starts_with('{') || wanted == given;
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(entries) => {
            let own = entries.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(entries.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
