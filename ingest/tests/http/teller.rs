//! What an issue is told of its task while no worker has it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use shared::{config::Config, state_dir::StateDir};
use testkit::{
    GitRemote, TestGitHub,
    faults::Fault,
    github::{LOGIN, TOKEN},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Answer, Delivery},
    ingester::{self, Ingester},
    webhook::payload::{self, with},
};

const COMMENTS: &str = "/repos/octo/cat/issues/7/comments";

struct Stage {
    github: TestGitHub,
    ingester: Ingester,
}

impl Stage {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let github = TestGitHub::start(GitRemote::with_files(&[("a", "a")]).unwrap()).await.unwrap();
        let ingester = Ingester::start_with(|config| {
            configure(config, &github);
            change(config);
        });
        Self { ingester: ingester.await, github }
    }

    /// One more ingester on the same Redis.
    async fn another(&self) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let (listeners, address, _) = ingester::listeners().await;
        let mut config = ingester::config(&self.ingester.redis);
        configure(&mut config, &self.github);
        let (queue, shutdown) = (self.ingester.queue.clone(), CancellationToken::new());
        let stop = shutdown.clone();
        let running = tokio::spawn(async move {
            let home = tempfile::tempdir().unwrap();
            let state_dir = StateDir::create(home.path()).unwrap();
            ingest::run(&config, queue, listeners, &state_dir, stop).await.unwrap();
        });
        (address, shutdown, running)
    }

    async fn deliver(&self, event: &str, payload: Value, issue: u64) -> Answer {
        let place = [("/repository/full_name", json!("octo/cat")), ("/issue/number", json!(issue))];
        Delivery::json(event, &with(payload, &place)).post(self.ingester.address).await
    }

    /// Waits until the one comment contains `text`.
    async fn says(&self, text: &str) -> String {
        let found = async {
            loop {
                let comments = self.github.state().comments.clone();
                assert!(comments.len() <= 1, "{comments:#?}");
                if let Some(comment) = comments.into_iter().find(|comment| comment.body.contains(text)) {
                    return comment.body;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        let found = timeout(Duration::from_secs(30), found).await;
        found.unwrap_or_else(|_| panic!("{text}: {:#?}", self.github.state().comments))
    }

    /// Waits until the comments of `issue` have been looked at.
    async fn looked_at(&self, issue: u64) {
        let looked = async {
            while self.github.faults().count(&format!("GET /api/v3/repos/octo/cat/issues/{issue}/comments"))
                == 0
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), looked).await.expect("they are looked at");
    }
}

fn configure(config: &mut Config, github: &TestGitHub) {
    (config.github.base_url, config.github.git_base_url) = (github.api_url(), github.git_url());
    (config.github.token, config.github.own_login) = (TOKEN.to_owned().into(), LOGIN.to_owned());
    (config.github.write_pause_ms, config.github.timeout_ms) = (0, 1_000);
}

#[tokio::test]
async fn an_issue_is_told_in_one_comment_that_its_task_waits_has_changed_and_is_cancelled() {
    let stage = Stage::new().await;
    let created = stage.deliver("issues", payload::opened(), 7).await;
    assert_eq!(created.status, 202, "{created:?}");
    let said = stage.says("**Queued** for `").await;
    assert!(said.contains("no worker that is online takes its specialty"), "{said}");
    assert!(said.contains(created.text("task_id")), "{said}");

    stage.deliver("issue_comment", payload::commented("/claude testing priority high"), 7).await;
    let said = stage.says("changed by `ann-dev`").await;
    assert!(said.contains("**Queued** for `testing`, priority high"), "{said}");

    stage.deliver("issues", payload::later("closed"), 7).await;
    let again = stage.deliver("issues", payload::opened(), 7).await;
    assert_eq!(again.text("status"), "duplicate", "what is told again takes nothing back");
    let said = stage.says("**Cancelled** before a worker took it").await;
    assert!(said.contains("`ann-dev closed the issue`") && said.contains("label `claude`"), "{said}");
    stage.ingester.stop().await;
}

#[tokio::test]
async fn neither_a_strangers_issue_nor_one_that_a_worker_has_is_told_anything() {
    let stage = Stage::new().await;
    let stranger = stage.deliver("issues", payload::by(payload::opened(), "eve", "NONE"), 7).await;
    assert_eq!(stranger.text("status"), "ignored", "{stranger:?}");
    let taken = stage.deliver("issues", payload::opened(), 8).await;
    stage.ingester.claim(taken.text("specialty")).await;
    // Due after both.
    stage.deliver("issues", payload::opened(), 9).await;
    stage.looked_at(9).await;
    assert_eq!(stage.github.faults().count("/issues/7/") + stage.github.faults().count("/issues/8/"), 0);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn where_it_is_switched_off_nothing_is_told() {
    let entry = "match = 'octo/cat'\ncomment_when_queued = false";
    let other = "match = 'octo/dog'";
    let stage = Stage::with(|config| {
        config.repository = [entry, other].map(|entry| toml::from_str(entry).unwrap()).to_vec();
    })
    .await;
    assert_eq!(stage.deliver("issues", payload::opened(), 7).await.status, 202);
    let dog = with(payload::opened(), &[("/repository/full_name", json!("octo/dog"))]);
    assert_eq!(Delivery::json("issues", &dog).post(stage.ingester.address).await.status, 202);
    timeout(Duration::from_secs(30), async {
        while stage.github.faults().count("/repos/octo/dog/") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the other repository's issue is told");
    assert_eq!(stage.github.faults().count("/repos/octo/cat/"), 0);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn a_github_that_is_down_costs_neither_the_task_nor_time_and_is_told_later() {
    let stage = Stage::new().await;
    for fault in [Fault::Stalled, Fault::Status(500), Fault::RateLimited(1)] {
        stage.github.faults().add(&format!("GET /api/v3{COMMENTS}"), fault);
    }
    for fault in [Fault::Closed, Fault::AnswerLost] {
        stage.github.faults().add(&format!("POST /api/v3{COMMENTS}"), fault);
    }
    let began = Instant::now();
    let created = stage.deliver("issues", payload::opened(), 7).await;
    assert!(created.status == 202 && began.elapsed() < Duration::from_secs(1), "{created:?}");
    let (record, _) = stage.ingester.task(&created).await;
    assert_eq!(record.status.name(), "pending");
    stage.says("**Queued**").await;
    assert_eq!(stage.github.faults().left(), 0);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn a_github_that_asks_to_be_left_alone_is_left_alone_also_by_a_stop() {
    let stage = Stage::new().await;
    // Longer than one word waits for.
    stage.github.faults().add(&format!("GET /api/v3{COMMENTS}"), Fault::RateLimited(60));
    assert_eq!(stage.deliver("issues", payload::opened(), 7).await.status, 202);
    stage.looked_at(7).await;
    assert_eq!(stage.deliver("issues", payload::opened(), 8).await.status, 202);
    // Else it would be asked again by now, for either issue.
    sleep(Duration::from_secs(6)).await;
    let Stage { github, ingester } = stage;
    ingester.stop().await;
    assert_eq!(github.faults().count("/comments"), 1, "{:#?}", github.faults().requests());
}

#[tokio::test]
async fn a_stop_says_what_is_still_to_be_said() {
    let stage = Stage::new().await;
    assert_eq!(stage.deliver("issues", payload::opened(), 7).await.status, 202);
    stage.ingester.stop().await;
    assert!(stage.github.state().comments[0].body.contains("**Queued**"));
}

#[tokio::test]
async fn many_ingesters_that_are_told_the_same_leave_one_comment() {
    let stage = Stage::new().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(stage.another().await);
    }
    let payload =
        with(payload::opened(), &[("/repository/full_name", json!("octo/cat")), ("/issue/number", json!(7))]);
    let delivery = Delivery::json("issues", &payload);
    let addresses = others.iter().map(|(address, ..)| *address).chain([stage.ingester.address]);
    let answers = futures_util::future::join_all(addresses.map(|address| delivery.post(address))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1, "{answers:?}");
    stage.says("**Queued**").await;
    for (_, shutdown, running) in others {
        shutdown.cancel();
        running.await.unwrap();
    }
    stage.ingester.stop().await;
    assert_eq!(stage.github.state().comments.len(), 1);
}
