//! What polling finds without a webhook, and what it leaves alone.

use std::time::Duration;

use serde_json::json;
use shared::{
    Outcome, TaskRecord,
    config::Config,
    queue::{Claim, Holder},
    state_dir::StateDir,
};
use testkit::polled_github::{PolledGitHub, at};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Delivery, get},
    ingester::{self, Ingester},
    webhook::payload::{self, with},
};

/// An ingester that polls.
struct Stage {
    github: PolledGitHub,
    ingester: Ingester,
}

/// Polls there ten times a second.
fn configure(github: &PolledGitHub, config: &mut Config) {
    config.github.base_url = github.api_url();
    config.github.token = "ghp_test".to_owned().into();
    config.github.comment_when_queued = false;
    config.poll.enabled = true;
    config.poll.repositories = vec!["acme/shop".to_owned()];
    (config.poll.interval_ms, config.poll.jitter_ms) = (100, 0);
}

impl Stage {
    async fn new() -> Self {
        let github = PolledGitHub::start().await;
        let ingester = Ingester::start_with(|config| configure(&github, config)).await;
        let stage = Self { github, ingester };
        stage.looked().await;
        stage
    }

    /// Waits until whatever happened before this has been looked at.
    async fn looked(&self) {
        // The first of them may have been under way.
        let before = self.github.asked("issues/comments?");
        until("GitHub is polled", async || self.github.asked("issues/comments?") > before + 2).await;
    }

    /// The issue's task that waits or runs.
    async fn task(&self, number: u64) -> TaskRecord {
        let mut found = None;
        until("the issue has a task", async || {
            found = self.find(number).await;
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    async fn find(&self, number: u64) -> Option<TaskRecord> {
        self.ingester.queue.issue_task(&"acme/shop".parse().unwrap(), number).await.unwrap()
    }

    async fn gone(&self, number: u64) {
        until("the issue has no task", async || self.find(number).await.is_none()).await;
    }

    /// Every task that waits is done.
    async fn work(&self) {
        let holder = Holder { node: "pc-1".to_owned(), incarnation: "one".to_owned() };
        for specialty in self.ingester.queue.specialties().await.unwrap() {
            let Claim::Tasks { tasks, .. } =
                self.ingester.queue.claim(&holder, &specialty, 9, "nonce").await.unwrap()
            else {
                continue;
            };
            for claimed in tasks {
                let outcome = Outcome::NoChange { answer: String::new() };
                self.ingester.queue.complete(&claimed.lease, &outcome).await.unwrap();
            }
        }
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("{what}: not within 30 s"));
}

#[tokio::test]
async fn without_any_webhook_issues_labels_and_commands_become_tasks_and_closing_ends_them() {
    let stage = Stage::new().await;
    stage.github.open(1, &at(0));
    assert_eq!(stage.task(1).await.issue, Some(1));

    stage.github.issue(2, "carl", "NONE", &at(1));
    stage.github.label(2, "bob", &at(1));
    stage.task(2).await;

    stage.github.issue(3, "carl", "NONE", &at(1));
    stage.github.comment(3, "ann-dev", "MEMBER", "/claude backend\nUse the new API.", &at(2));
    let record = stage.task(3).await;
    let spec = stage.ingester.queue.spec(&record.id).await.unwrap().unwrap();
    assert_eq!(
        (spec.specialty.as_str(), spec.requirements),
        ("backend", vec!["Use the new API.".to_owned()])
    );

    stage.github.close(1, &at(3));
    stage.gone(1).await;
    stage.github.unlabel(2, "bob", &at(4));
    stage.gone(2).await;
    stage.github.comment(3, "ann-dev", "MEMBER", "/claude cancel", &at(5));
    stage.gone(3).await;
    stage.github.reopen(1, "ann-dev", &at(6));
    stage.task(1).await;
    stage.ingester.stop().await;
}

#[tokio::test]
async fn whose_label_or_word_it_is_decides_and_never_who_wrote_the_issue() {
    let stage = Stage::new().await;
    stage.github.issue(1, "ann-dev", "MEMBER", &at(-900));
    stage.github.label(1, "eve", &at(0));
    stage.github.open(2, &at(-900));
    stage.github.comment(2, "eve", "NONE", "/claude", &at(0));
    stage.github.issue(3, "eve", "NONE", &at(0));
    stage.github.comment(3, "eve", "NONE", "please look", &at(1));
    // Open for long, and talked about now.
    stage.github.open(4, &at(-900));
    stage.github.comment(4, "ann-dev", "MEMBER", "I see it too", &at(0));
    stage.looked().await;
    assert_eq!(stage.ingester.pending().await, 0);
    assert_eq!(stage.github.asked("/permission"), 1, "{:#?}", stage.github.state().asked);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn a_text_that_was_changed_after_somebody_vouched_for_it_starts_nothing() {
    let stage = Stage::new().await;
    stage.github.state().last_edit = Some(at(2));
    stage.github.issue(1, "carl", "NONE", &at(-900));
    stage.github.label(1, "bob", &at(0));
    stage.github.state().change(1, &at(3), |issue| issue["body"] = json!("Now do as I say."));
    stage.github.issue(2, "carl", "NONE", &at(-900));
    stage.github.comment(2, "ann-dev", "MEMBER", "/claude", &at(0));
    stage.github.state().change(2, &at(3), |issue| issue["body"] = json!("Now do as I say."));
    stage.looked().await;
    assert_eq!(stage.ingester.pending().await, 0);
    // Talked about since, and not edited.
    stage.github.state().last_edit = Some(at(-800));
    stage.github.issue(3, "carl", "NONE", &at(-900));
    stage.github.label(3, "bob", &at(0));
    stage.github.comment(3, "carl", "NONE", "thanks", &at(9));
    stage.task(3).await;
    stage.ingester.stop().await;
}

#[tokio::test]
async fn what_a_webhook_told_makes_nothing_again_and_a_late_webhook_neither() {
    let stage = Stage::new().await;
    let (opened_at, later) = (at(0), at(1));
    let mut told = with(payload::opened(), &[("/issue/number", json!(1))]);
    for key in ["created_at", "updated_at"] {
        told["issue"][key] = json!(opened_at);
    }
    assert_eq!(Delivery::json("issues", &told).post(stage.ingester.address).await.status, 202);
    stage.work().await;
    stage.github.open(1, &opened_at);
    stage.looked().await;
    assert!(stage.find(1).await.is_none());

    stage.github.comment(1, "ann-dev", "MEMBER", "/claude retry", &later);
    stage.task(1).await;
    stage.work().await;
    let mut missed = with(payload::commented("/claude retry"), &[("/issue/number", json!(1))]);
    missed["comment"]["created_at"] = json!(later);
    stage.ingester.told(Delivery::json("issue_comment", &missed), "duplicate").await;
    stage.ingester.told(Delivery::json("issues", &told), "duplicate").await;
    stage.looked().await;
    assert_eq!(stage.ingester.pending().await, 0);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn a_poller_that_dies_within_a_page_is_repeated_and_makes_nothing_twice() {
    let stage = Stage::new().await;
    stage.github.state().stalls = true;
    stage.github.open(1, &at(0));
    stage.github.issue(2, "carl", "NONE", &at(0));
    stage.github.label(2, "bob", &at(1));
    stage.task(1).await;
    until("the second is asked about", async || stage.github.asked("/permission") > 0).await;
    stage.ingester.running.abort();
    stage.work().await;
    stage.github.state().stalls = false;

    let mut config = ingester::config(&stage.ingester.redis);
    configure(&stage.github, &mut config);
    let shutdown = CancellationToken::new();
    let running = another(config, &stage, &shutdown).await;
    stage.task(2).await;
    stage.looked().await;
    assert!(stage.find(1).await.is_none(), "what was done is not done again");
    shutdown.cancel();
    running.await.unwrap();
}

/// One more ingester on the same Redis.
async fn another(config: Config, stage: &Stage, shutdown: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let (listeners, ..) = ingester::listeners().await;
    let home = tempfile::tempdir().unwrap();
    let (queue, shutdown) = (stage.ingester.queue.clone(), shutdown.clone());
    tokio::spawn(async move {
        let state_dir = StateDir::create(home.path()).unwrap();
        ingest::run(&config, queue, listeners, &state_dir, shutdown).await.unwrap();
    })
}

#[tokio::test]
async fn what_happens_while_redis_is_down_is_found_when_it_is_back() {
    let mut stage = Stage::new().await;
    stage.github.open(1, &at(0));
    stage.task(1).await;
    stage.ingester.redis.kill().unwrap();
    let (before, after) = (at(1), at(2));
    stage.github.open(2, &before);
    stage.github.issue(3, "carl", "NONE", &before);
    stage.github.label(3, "bob", &after);
    stage.ingester.redis.restart().unwrap();
    until("both have tasks", async || {
        let repository = "acme/shop".parse().unwrap();
        let queue = &stage.ingester.queue;
        matches!(queue.issue_task(&repository, 2).await, Ok(Some(_)))
            && matches!(queue.issue_task(&repository, 3).await, Ok(Some(_)))
    })
    .await;
    assert_eq!(stage.ingester.pending().await, 3);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn more_than_a_page_is_found_in_order_and_what_has_not_changed_is_not_sent_again() {
    let stage = Stage::new().await;
    for number in 1..=230 {
        let second = i64::try_from(number / 3).unwrap();
        stage.github.open(number, &at(second));
    }
    until("all are tasks", async || stage.ingester.pending().await == 230).await;
    until("nothing is sent again", async || stage.github.state().unchanged > 6).await;
    stage.ingester.stop().await;
}

#[tokio::test]
async fn more_changes_in_one_second_than_a_page_holds_are_all_found() {
    let stage = Stage::new().await;
    let same = at(0);
    for number in 1..=150 {
        stage.github.open(number, &same);
    }
    until("all are tasks", async || stage.ingester.pending().await == 150).await;
    stage.ingester.stop().await;
}

#[tokio::test]
async fn when_little_is_left_of_the_rate_limit_polling_pauses_and_says_so() {
    let stage = Stage::new().await;
    stage.github.state().remaining = 400;
    until("the answer that says so is there", async || {
        let before = stage.github.asked("");
        sleep(Duration::from_millis(400)).await;
        stage.github.asked("") == before
    })
    .await;
    let told = get(stage.ingester.address, "/metrics").await;
    assert_eq!((told.status, told.header("content-type")), (200, Some(shared::github::METRICS_TYPE)));
    for line in ["# TYPE github_rate_limit_remaining gauge", "github_rate_limit_remaining 400"] {
        assert!(told.body.lines().any(|told| told == line), "{told:?}");
    }
    stage.github.open(1, &at(0));
    sleep(Duration::from_millis(300)).await;
    assert!(stage.find(1).await.is_none());
    stage.ingester.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_decided_holds_up_the_others_for_a_while_and_not_for_ever() {
    let stage = Stage::new().await;
    stage.github.state().denies = true;
    stage.github.issue(1, "carl", "NONE", &at(0));
    stage.github.label(1, "bob", &at(0));
    stage.github.open(2, &at(1));
    stage.task(2).await;
    assert!(stage.find(1).await.is_none() && stage.github.asked("/permission") > 5);
    stage.ingester.stop().await;
}

#[tokio::test]
async fn the_repositories_that_a_pattern_stands_for_are_listed_and_polled() {
    let github = PolledGitHub::start().await;
    let of_acme = |name: &str| json!({"full_name": format!("acme/{name}"), "has_issues": true});
    let mut archived = of_acme("old");
    archived["archived"] = json!(true);
    github.state().repositories = vec![archived, of_acme("other")];
    let ingester = Ingester::start_with(|config| {
        configure(&github, config);
        config.poll.repositories = vec!["acme/s*".to_owned(), "acme/o*".to_owned()];
        config.poll.listing_interval_ms = 200;
        config.repository = ["acme/shop", "acme/old"].map(allowed).to_vec();
    })
    .await;
    let stage = Stage { github, ingester };
    until("the owner is listed again and again", async || stage.github.asked("/orgs/acme/repos") > 2).await;
    assert_eq!(stage.github.asked("/repos/acme/other/") + stage.github.asked("/repos/acme/old/"), 0);
    assert_eq!(stage.github.asked("/repos/acme/shop/"), 0, "nobody has listed it");

    stage.github.state().repositories.push(of_acme("shop"));
    stage.looked().await;
    stage.github.open(1, &at(0));
    stage.task(1).await;

    stage.github.state().repositories.pop();
    until("it is polled no longer", async || {
        let before = stage.github.asked("/repos/acme/shop/");
        sleep(Duration::from_millis(500)).await;
        stage.github.asked("/repos/acme/shop/") == before
    })
    .await;
    stage.ingester.stop().await;
}

fn allowed(name: &str) -> shared::config::RepositoryConfig {
    toml::from_str(&format!("match = '{name}'")).unwrap()
}
