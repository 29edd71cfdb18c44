//! Tasks posted, listed and cancelled.

use serde_json::{Value, json};
use shared::{Specialty, task::Trigger};

use crate::{
    api::{call::Call, workers},
    ingester::Ingester,
};

fn shop(id: &str) -> Value {
    json!({"task_id": id, "repository": "acme/shop", "requirements": ["backend"]})
}

#[tokio::test]
async fn a_posted_task_is_in_redis_as_it_was_asked_for() {
    let ingester = Ingester::start().await;
    let body = json!({
        "repository": "acme/shop", "title": "Orders fail", "description": "The cart is empty.<!-- rm -->",
        "requirements": ["api", "python 3.12"], "labels": ["bug"], "priority": "low"
    });
    let answer = Call::post("/api/tasks", &body).send(ingester.api).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some(format!("/api/tasks/{}", answer.text("id")).as_str()));
    let id = answer.text("id").parse().unwrap();
    let spec = ingester.queue.spec(&id).await.unwrap().unwrap();
    assert_eq!((spec.title.as_str(), spec.body.as_str()), ("Orders fail", "The cart is empty."));
    assert_eq!((spec.specialty.as_str(), spec.priority.as_str()), ("backend", "low"));
    assert_eq!((spec.trigger, spec.requirements.len()), (Trigger::Manual, 2));
    assert_eq!(answer.json["reasons"][0], "requirement api");
    ingester.stop().await;
}

#[tokio::test]
async fn posting_an_id_again_changes_nothing_and_shows_what_is_there() {
    let ingester = Ingester::start().await;
    let first = Call::post("/api/tasks", &shop("t-1")).send(ingester.api).await;
    let other = json!({"task_id": "t-1", "repository": "acme/other", "requirements": ["ui"]});
    let again = Call::post("/api/tasks", &other).send(ingester.api).await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json, again.json);
    assert_eq!(ingester.pending().await, 1);
    ingester.stop().await;
}

#[tokio::test]
async fn the_same_id_posted_many_times_at_once_is_one_task() {
    let ingester = Ingester::start().await;
    let api = ingester.api;
    let post = || tokio::spawn(async move { Call::post("/api/tasks", &shop("t-1")).send(api).await });
    let posts: Vec<_> = (0..12).map(|_| post()).collect();
    let mut created = 0;
    for post in posts {
        let answer = post.await.unwrap();
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        created += u32::from(answer.status == 201);
    }
    assert_eq!((created, ingester.pending().await), (1, 1));
    ingester.stop().await;
}

#[tokio::test]
async fn an_issue_has_one_unsettled_task_however_it_is_posted() {
    let ingester = Ingester::start().await;
    let issue = json!({"repository": "acme/shop", "issue": 42});
    let first = Call::post("/api/tasks", &issue).send(ingester.api).await;
    assert_eq!((first.status, first.text("title")), (201, "Issue #42"));
    let again = Call::post("/api/tasks", &issue).send(ingester.api).await;
    assert_eq!((again.status, again.text("id")), (200, first.text("id")));
    let own = json!({"repository": "acme/shop", "issue": 42, "task_id": "mine"});
    let refused = Call::post("/api/tasks", &own).send(ingester.api).await;
    assert_eq!((refused.status, refused.problem()), (409, "issue-taken"));
    assert!(refused.text("detail").contains(first.text("id")), "{refused:?}");
    assert_eq!(ingester.pending().await, 1);

    let cancel = format!("/api/tasks/{}/cancel", first.text("id"));
    assert_eq!(Call::post(&cancel, &json!({})).send(ingester.api).await.status, 200);
    assert_eq!(Call::post("/api/tasks", &own).send(ingester.api).await.status, 201);
    let settled = Call::post("/api/tasks/mine/cancel", &json!({})).send(ingester.api).await;
    let posted = Call::post("/api/tasks", &own).send(ingester.api).await;
    assert_eq!((posted.status, &posted.json), (200, &settled.json), "an id is never used twice");
    assert_eq!(Call::post("/api/tasks", &issue).send(ingester.api).await.status, 201);
    ingester.stop().await;
}

#[tokio::test]
async fn only_allowed_repositories_are_taken() {
    let ingester = Ingester::start_with(|config| {
        let entry = "match = \"acme/*\"\n";
        config.repository = vec![toml::from_str(entry).unwrap()];
    })
    .await;
    assert_eq!(Call::post("/api/tasks", &shop("t-1")).send(ingester.api).await.status, 201);
    let other = Call::post("/api/tasks", &json!({"repository": "evil/shop"})).send(ingester.api).await;
    assert_eq!((other.status, other.problem()), (422, "unprocessable"));
    assert!(other.text("detail").contains("is not allowed here"), "{other:?}");
    ingester.stop().await;
}

#[tokio::test]
async fn cancelling_says_what_came_of_it() {
    let ingester = Ingester::start().await;
    Call::post("/api/tasks", &shop("waiting")).send(ingester.api).await;
    let reason = json!({"reason": "typed \u{1b}[31mwrongly"});
    let answer = Call::post("/api/tasks/waiting/cancel", &reason).send(ingester.api).await;
    assert_eq!((answer.status, answer.text("status")), (200, "cancelled"));
    assert_eq!(answer.text("error_message"), "cancelled through the API: typed [31mwrongly");
    Call::post("/api/tasks", &shop("running")).send(ingester.api).await;
    workers::claim(&ingester.queue, "pc-1", &backend()).await;
    Call::post("/api/tasks", &shop("done")).send(ingester.api).await;
    let claimed = workers::claim(&ingester.queue, "pc-1", &backend()).await;
    ingester.queue.fail(&claimed.lease, &shared::Failure::task("red")).await.unwrap();
    let plain = |id: &str| Call {
        content_type: None,
        body: Vec::new(),
        ..Call::post(&format!("/api/tasks/{id}/cancel"), &Value::Null)
    };
    let running = plain("running").send(ingester.api).await;
    assert_eq!((running.status, running.text("status")), (202, "active"), "no body is needed");
    assert_eq!(running.json["cancel_requested"], true);
    assert_eq!(plain("waiting").send(ingester.api).await.status, 200, "cancelled before");
    let done = plain("done").send(ingester.api).await;
    assert_eq!((done.status, done.problem()), (409, "settled"));
    let unknown = plain("nobody").send(ingester.api).await;
    assert_eq!((unknown.status, unknown.problem()), (404, "no-such-task"));
    ingester.stop().await;
}

fn backend() -> Specialty {
    "backend".parse().unwrap()
}

#[tokio::test]
async fn pages_show_every_task_once_whatever_their_size() {
    let ingester = Ingester::start().await;
    let mut posted = Vec::new();
    for (number, (requirement, priority)) in
        [("api", "low"), ("ui", "high"), ("qa", "medium"), ("api", "high"), ("api", "low"), ("ui", "low")]
            .into_iter()
            .cycle()
            .take(14)
            .enumerate()
    {
        let id = format!("t-{number:02}");
        let body = json!({
            "task_id": id, "repository": "acme/shop", "requirements": [requirement], "priority": priority
        });
        assert_eq!(Call::post("/api/tasks", &body).send(ingester.api).await.status, 201);
        posted.push(id);
    }
    for id in ["t-00", "t-05"] {
        Call::post(&format!("/api/tasks/{id}/cancel"), &json!({})).send(ingester.api).await;
    }
    workers::claim(&ingester.queue, "pc-1", &backend()).await;
    for limit in [1, 2, 3, 5, 14, 500] {
        let mut seen = pages(&ingester, &format!("limit={limit}")).await;
        let first = seen[0].clone();
        assert_eq!(first, "t-03", "what runs comes first: the one of backend with the highest priority");
        seen.sort();
        assert_eq!(seen, posted, "limit {limit}");
    }
    assert_eq!(pages(&ingester, "status=cancelled&limit=1").await.len(), 2);
    assert_eq!(pages(&ingester, "status=active,cancelled").await.len(), 3);
    let ui = pages(&ingester, "specialty=UI&status=pending&limit=2").await;
    assert_eq!(ui, ["t-01", "t-07", "t-13", "t-11"], "by priority, then age");
    let none = Call::get("/api/tasks?specialty=devops").send(ingester.api).await;
    assert_eq!(none.json, json!({"tasks": [], "next": null}));
    ingester.stop().await;
}

/// The ids on all pages, in their order.
async fn pages(ingester: &Ingester, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = String::new();
    for _ in 0..100 {
        let page = Call::get(&format!("/api/tasks?{query}{after}")).send(ingester.api).await;
        assert_eq!(page.status, 200, "{page:?}");
        for task in page.json["tasks"].as_array().unwrap() {
            ids.push(task["id"].as_str().unwrap().to_owned());
            assert!(task.get("description").is_none());
        }
        match page.json["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
    panic!("the pages never end");
}
