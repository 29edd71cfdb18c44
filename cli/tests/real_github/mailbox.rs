//! Where the emulator sends its webhooks: passes them on to whichever ingester there is, and sends them again.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use testkit::{
    http_client,
    http_server::{Asked, HttpServer, Reply},
};

/// Gone when dropped.
pub struct Mailbox {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The ingesters' webhook addresses. Each delivery goes to all of them at once; the first one's answer counts.
    to: Vec<String>,
    /// With the answer of each ingester; `None` of one that gave none.
    sent: Vec<(Asked, Vec<Answer>)>,
}

/// Status and body.
pub type Answer = Option<(u16, Value)>;

impl Mailbox {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let serving = Arc::clone(&state);
        let server = HttpServer::start(move |asked| {
            let state = Arc::clone(&serving);
            async move {
                let to = lock(&state).to.clone();
                let answers = futures_util::future::join_all(to.iter().map(|url| deliver(url, &asked))).await;
                let first = answers.first().cloned().flatten();
                lock(&state).sent.push((asked, answers));
                first.map_or(Reply::Close, |(status, body)| Reply::json(status, &body))
            }
        });
        Self { server: server.await.unwrap(), state }
    }

    pub fn url(&self) -> String {
        format!("{}/webhook/github", self.server.url())
    }

    /// Has deliveries sent to these addresses from now on; the same one several times for duplicates.
    pub fn send_to(&self, urls: &[&str]) {
        lock(&self.state).to = urls.iter().map(|url| (*url).to_owned()).collect();
    }

    /// What each delivery was answered, in order.
    pub fn answers(&self) -> Vec<Vec<Answer>> {
        lock(&self.state).sent.iter().map(|(_, answers)| answers.clone()).collect()
    }

    /// Sends the delivery of this number again, as it was, to the first address.
    pub async fn redeliver(&self, number: usize) -> Answer {
        let (asked, url) = {
            let state = lock(&self.state);
            (state.sent[number].0.clone(), state.to[0].clone())
        };
        deliver(&url, &asked).await
    }
}

async fn deliver(url: &str, asked: &Asked) -> Answer {
    let names = ["content-type", "x-github-event", "x-github-delivery", "x-hub-signature-256"];
    let headers = names.map(|name| (name, asked.header(name)));
    let answered = http_client::send("POST", url, &headers, asked.body.clone()).await.ok()?;
    Some((answered.status, serde_json::from_slice(&answered.body).unwrap_or_default()))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}
