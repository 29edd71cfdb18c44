//! Whom GitHub is asked about.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use shared::config::Config;
use testkit::http_server::{HttpServer, Reply};

use crate::{
    client::Delivery,
    ingester::Ingester,
    webhook::payload::{self, with},
};

/// GitHub, as far as permissions go: Bob may write, Eve may read, and of nobody else it knows anything.
struct GitHub {
    server: HttpServer,
    asked: Arc<AtomicUsize>,
}

impl GitHub {
    async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = HttpServer::start(move |asked| {
            count.fetch_add(1, Ordering::SeqCst);
            let login = asked.path.strip_prefix("/api/v3/repos/acme/shop/collaborators/").map(str::to_owned);
            async move {
                match login.as_deref() {
                    Some("bob/permission") => {
                        Reply::json(200, &json!({"permission": "write", "role_name": "maintain"}))
                    }
                    Some("eve/permission") => {
                        Reply::json(200, &json!({"permission": "read", "role_name": "triage"}))
                    }
                    Some("down/permission") => Reply::json(502, &json!({"message": "no"})),
                    Some("stalled/permission") => Reply::Stall,
                    Some("denied/permission") => Reply::json(403, &json!({"message": "no"})),
                    _ => Reply::json(404, &json!({"message": "Not Found"})),
                }
            }
        });
        Self { server: server.await.unwrap(), asked }
    }

    fn configure(&self, config: &mut Config) {
        config.github.base_url = format!("{}/api/v3", self.server.url());
        config.github.token = "ghp_test".to_owned().into();
        config.github.comment_when_queued = false;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// `actor` sets the label on issue `number`, which a stranger wrote.
fn labeled(number: u64, actor: &str) -> Value {
    let changes = [
        ("/issue/number", json!(number)),
        ("/issue/user/login", json!("carl")),
        ("/issue/author_association", json!("NONE")),
        ("/sender/login", json!(actor)),
    ];
    with(payload::labeled(), &changes)
}

#[tokio::test]
async fn of_somebody_whom_the_event_says_nothing_of_github_is_asked_once() {
    let github = GitHub::start().await;
    let ingester = Ingester::start_with(|config| github.configure(config)).await;
    for number in 1..4 {
        let answer = Delivery::json("issues", &labeled(number, "bob")).post(ingester.address).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    assert_eq!(github.asked(), 1);
    for (number, login, told) in [(4, "eve", "eve has the permission triage"), (5, "zoe", "permission none")]
    {
        for _ in 0..2 {
            let answer = ingester.told(Delivery::json("issues", &labeled(number, login)), "ignored").await;
            assert!(answer.text("reason").contains(told), "{answer:?}");
        }
    }
    assert_eq!(github.asked(), 3);
    let member = Delivery::json("issues", &payload::opened()).post(ingester.address).await;
    assert_eq!((member.status, github.asked()), (202, 3), "what the event says need not be asked");
    ingester.stop().await;
}

#[tokio::test]
async fn a_private_member_whom_the_event_calls_a_contributor_is_known_by_the_permission() {
    let github = GitHub::start().await;
    let ingester = Ingester::start_with(|config| github.configure(config)).await;
    let opened = payload::by(payload::opened(), "bob", "CONTRIBUTOR");
    assert_eq!(Delivery::json("issues", &opened).post(ingester.address).await.status, 202);
    ingester.stop().await;
}

#[tokio::test]
async fn where_github_cannot_be_asked_the_delivery_is_to_come_again() {
    let github = GitHub::start().await;
    let ingester = Ingester::start_with(|config| github.configure(config)).await;
    for login in ["down", "stalled", "denied"] {
        let answer = Delivery::json("issues", &labeled(1, login)).post(ingester.address).await;
        assert_eq!((answer.status, answer.problem()), (503, "github-down"), "{answer:?}");
        assert!(
            answer.header("retry-after").is_some() && answer.text("detail").contains(login),
            "{answer:?}"
        );
    }
    assert_eq!(ingester.pending().await, 0);
    ingester.stop().await;
}

#[tokio::test]
async fn nobody_is_asked_about_events_that_could_do_nothing_anyway() {
    let github = GitHub::start().await;
    let ingester = Ingester::start_with(|config| github.configure(config)).await;
    let mut edited = with(payload::later("edited"), &[("/sender/login", json!("eve"))]);
    edited["changes"] = json!({"title": {"from": "x"}});
    let mut comment = payload::commented("I see it too");
    comment["sender"]["login"] = json!("eve");
    ingester.told(Delivery::json("issues", &edited), "ignored").await;
    ingester.told(Delivery::json("issue_comment", &comment), "ignored").await;
    ingester
        .told(Delivery::json("issues", &with(labeled(1, "eve"), &[("/label/name", json!("bug"))])), "ignored")
        .await;
    assert_eq!(github.asked(), 0);
    ingester.stop().await;
}

#[tokio::test]
async fn an_empty_list_of_permissions_asks_nobody() {
    let github = GitHub::start().await;
    let ingester = Ingester::start_with(|config| {
        github.configure(config);
        config.github.trusted_permissions = Vec::new();
    })
    .await;
    ingester.told(Delivery::json("issues", &labeled(1, "bob")), "ignored").await;
    assert_eq!(github.asked(), 0);
    ingester.stop().await;
}
