//! Two ingesters that poll the same repository, one of which is killed in the middle of it.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use shared::RepositoryName;
use testkit::polled_github::{PolledGitHub, at};

use crate::pc::{Cluster, Pc, TIGHT, until};

/// Issues that are found before the poller is killed in its page, in that page after that, and later.
const BEFORE: u64 = 20;
const VOUCHED_FOR: u64 = 21;
const LATER: u64 = 40;

struct Polled {
    cluster: Cluster,
    github: PolledGitHub,
}

impl Polled {
    async fn new() -> Self {
        let github = PolledGitHub::start().await;
        let mut cluster = Cluster::new(TIGHT);
        let settings = [
            ("CLAUDE_CLUSTER__GITHUB__BASE_URL", github.api_url().as_str()),
            ("CLAUDE_CLUSTER__GITHUB__COMMENT_WHEN_QUEUED", "false"),
            ("CLAUDE_CLUSTER__POLL__ENABLED", "true"),
            ("CLAUDE_CLUSTER__POLL__REPOSITORIES", "acme/shop"),
            ("CLAUDE_CLUSTER__POLL__INTERVAL_MS", "200"),
            ("CLAUDE_CLUSTER__POLL__JITTER_MS", "20"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        cluster.settings = settings.to_vec();
        Self { cluster, github }
    }

    /// Starts an ingester that is known to GitHub by its name.
    async fn ingester(&self, name: &str) -> Pc {
        let arguments = ["ingest", "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
        let pc = self.cluster.spawn(name, name, &arguments, &[("GITHUB_TOKEN", name)]);
        until("it polls", || async { pc.log().contains("polling GitHub").then_some(()) }).await;
        pc
    }

    /// Waits until whatever happened before this has been looked at.
    async fn looked(&self) {
        let before = self.github.asked("issues/comments?");
        let looks = || async { (self.github.asked("issues/comments?") > before + 2).then_some(()) };
        until("GitHub is polled", looks).await;
    }

    async fn has_task(&self, number: u64) {
        let repository: RepositoryName = "acme/shop".parse().unwrap();
        until(&format!("issue {number} has a task"), || async {
            self.cluster.queue.issue_task(&repository, number).await.unwrap()
        })
        .await;
    }

    /// The issues of all tasks there are, each as often as it has one.
    async fn issues(&self) -> Vec<u64> {
        let queue = &self.cluster.queue;
        let mut issues = Vec::new();
        for specialty in queue.specialties().await.unwrap() {
            for status in ["pending", "active", "completed", "failed", "cancelled", "delayed"] {
                let page = queue.list(&specialty, status, None, 500).await.unwrap();
                issues.extend(page.tasks.into_iter().filter_map(|task| task.issue));
            }
        }
        issues.sort_unstable();
        issues
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ingesters_that_poll_the_one_that_does_is_killed_and_the_other_misses_and_doubles_nothing() {
    let polled = Polled::new().await;
    let names = ["ingest-1", "ingest-2"];
    let mut pcs = [polled.ingester(names[0]).await, polled.ingester(names[1]).await];
    polled.looked().await;

    polled.github.state().stalls = true;
    for number in 1..=BEFORE {
        polled.github.open(number, &at(0));
    }
    polled.github.issue(VOUCHED_FOR, "carl", "NONE", &at(0));
    polled.github.label(VOUCHED_FOR, "bob", &at(1));
    let owner = until("one polls, and is in the middle of it", || async {
        polled.github.state().stalled.first().cloned()
    })
    .await;
    let (killed, other) = if owner == names[0] { (0, 1) } else { (1, 0) };
    pcs[killed].signal(Signal::SIGKILL);
    assert_eq!(pcs[killed].ended().await, None);
    for number in VOUCHED_FOR + 1..=LATER {
        polled.github.open(number, &at(1));
    }
    polled.github.state().stalls = false;
    let all: BTreeSet<u64> = (1..=LATER).collect();
    for number in &all {
        polled.has_task(*number).await;
    }
    polled.looked().await;
    assert!(polled.issues().await.iter().eq(&all), "{:?}", polled.issues().await);

    // It is back, and both look at what has been found; nor does what has ended begin anew.
    let queue = &polled.cluster.queue;
    let repository: RepositoryName = "acme/shop".parse().unwrap();
    let done = queue.issue_task(&repository, VOUCHED_FOR).await.unwrap().unwrap();
    queue.cancel(&done.id, "the test").await.unwrap();
    let _again = polled.ingester(names[killed]).await;
    polled.looked().await;
    polled.looked().await;
    assert!(polled.issues().await.iter().eq(&all), "{:?}", polled.issues().await);
    assert!(!pcs[other].log().contains("ERROR"), "{}", pcs[other].log());
}
