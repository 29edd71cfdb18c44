//! Commands that the server carried out and whose answers never came: sent again as they are, each recognises what it
//! did. Nothing sends them again unasked.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use shared::{
    Failure, Outcome, TaskSpec,
    queue::{
        CancelAnswer, Claim, ClaimHeld, Enqueued, IssueEnqueued, Queue, QueueError, ReleaseHeldAnswer,
        Renewal, Settlement,
    },
};
use testkit::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
};

use crate::setting::{backend, holder, queue_at, task};

/// Between a client and its server; loses one answer where it is told to.
struct Thief {
    url: String,
    wanted: Arc<Mutex<Option<Vec<u8>>>>,
    accepting: JoinHandle<()>,
}

impl Thief {
    async fn before(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let wanted = Arc::new(Mutex::new(None));
        let (socket, mark) = (server.socket(), Arc::clone(&wanted));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, socket.clone(), Arc::clone(&mark)));
            }
        });
        Self { url, wanted, accepting }
    }

    /// The next request that contains `text` is handed on; its connection ends before the answer.
    fn steal(&self, text: &str) {
        *self.wanted.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    fn assert_stolen(&self) {
        assert_eq!(*self.wanted.lock().unwrap(), None, "the request never came");
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(
    mut client: TcpStream,
    socket: PathBuf,
    wanted: Arc<Mutex<Option<Vec<u8>>>>,
) -> std::io::Result<()> {
    let mut server = UnixStream::connect(socket).await?;
    let (mut asked, mut answered, mut stolen) = (vec![0; 65_536], vec![0; 65_536], false);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let request = &asked[..count?];
                if request.is_empty() {
                    return Ok(());
                }
                let mut wanted = wanted.lock().unwrap().take_if(|text| request.windows(text.len()).any(|part| part == *text));
                stolen |= wanted.take().is_some();
                server.write_all(request).await?;
            }
            count = server.read(&mut answered) => {
                let answer = &answered[..count?];
                if answer.is_empty() || stolen {
                    return Ok(());
                }
                client.write_all(answer).await?;
            }
        }
    }
}

/// The key that every script of `backend` has, as it stands in a request.
const IN_SLOT: &str = "ccc:{backend}:\r\n";

/// A queue whose scripts the server knows already, so that what is stolen is no `NOSCRIPT`.
async fn queue_before(thief: &Thief) -> Queue {
    let queue = queue_at(&thief.url, "ccc", |q| q.lease_ms = 60_000);
    let (w, done) = (holder("warm"), Outcome::NoChange { answer: String::new() });
    for (id, settle) in [("w0", 0), ("w1", 1), ("w2", 2), ("w3", 3)] {
        queue.enqueue(&task(id, "backend")).await.unwrap();
        let Claim::Tasks { tasks, .. } = queue.claim(&w, &backend(), 1, "n").await.unwrap() else { panic!() };
        let lease = &tasks[0].lease;
        queue.renew(std::slice::from_ref(lease)).await.unwrap();
        match settle {
            0 => drop(queue.release(lease, "x").await.unwrap()),
            1 => drop(queue.retry(lease, &Failure::transient("x"), Duration::from_secs(600)).await.unwrap()),
            2 => drop(queue.fail(lease, &Failure::task("x")).await.unwrap()),
            _ => drop(queue.complete(lease, &done).await.unwrap()),
        }
        queue.cancel(&lease.id, "x").await.unwrap();
    }
    for id in ["h0", "h1"] {
        queue.hold(&task(id, "backend")).await.unwrap();
    }
    queue.claim_held(&w, &"h0".parse().unwrap(), "n").await.unwrap();
    queue.release_held(&"h1".parse().unwrap()).await.unwrap();
    queue.cancel(&"h1".parse().unwrap(), "x").await.unwrap();
    queue.holding(&w, &backend()).await.unwrap();
    queue
}

fn unanswered<T: std::fmt::Debug>(answer: &Result<T, QueueError>) {
    assert!(matches!(answer, Err(QueueError::Unreachable(_))), "{answer:?}");
}

#[tokio::test]
async fn an_enqueue_and_a_hold_are_done_once_though_their_answers_are_lost() {
    let server = RedisServer::start().unwrap();
    let thief = Thief::before(&server).await;
    let queue = queue_before(&thief).await;
    thief.steal(IN_SLOT);
    unanswered(&queue.enqueue(&task("a", "backend")).await);
    thief.assert_stolen();
    assert_eq!(
        queue.enqueue(&task("a", "backend")).await.unwrap(),
        Enqueued::Exists { specialty: backend() }
    );
    // A held task's locator is taken first.
    for text in ["ccc:task:b\r\n", IN_SLOT] {
        let spec = task(if text == IN_SLOT { "c" } else { "b" }, "backend");
        thief.steal(text);
        unanswered(&queue.hold(&spec).await);
        thief.assert_stolen();
        let again = queue.hold(&spec).await.unwrap();
        let expected =
            if text == IN_SLOT { Enqueued::Exists { specialty: backend() } } else { Enqueued::Created };
        assert_eq!(again, expected);
    }
    let counts = queue.counts(&backend()).await.unwrap();
    assert_eq!((counts.pending, counts.held), (1, 2));
}

#[tokio::test]
async fn an_issue_gets_one_task_wherever_the_answer_is_lost() {
    let server = RedisServer::start().unwrap();
    let thief = Thief::before(&server).await;
    let queue = queue_before(&thief).await;
    let warm = TaskSpec { issue: Some(1), ..task("warm", "backend") };
    queue.enqueue_issue(&warm, Some("d0")).await.unwrap();
    for (number, text) in
        [(2, "ccc:delivery:d2\r\n"), (3, "ccc:issue:octo/cat#3\r\n"), (4, "ccc:task:t4\r\n"), (5, IN_SLOT)]
    {
        let spec = TaskSpec { issue: Some(number), ..task(&format!("t{number}"), "backend") };
        let delivery = format!("d{number}");
        thief.steal(text);
        unanswered(&queue.enqueue_issue(&spec, Some(&delivery)).await);
        thief.assert_stolen();
        // The redelivery may have another id.
        let other = TaskSpec { id: format!("u{number}").parse().unwrap(), ..spec.clone() };
        let again = queue.enqueue_issue(&spec, Some(&delivery)).await.unwrap();
        assert!(matches!(again, IssueEnqueued::Created | IssueEnqueued::Duplicate { .. }), "{again:?}");
        let delivered = queue.enqueue_issue(&other, Some(&delivery)).await.unwrap();
        assert_eq!(delivered, IssueEnqueued::Delivered { task: spec.id });
    }
    assert_eq!(queue.counts(&backend()).await.unwrap().pending, 5);
}

#[tokio::test]
async fn a_claim_without_an_answer_is_not_made_twice_and_is_found() {
    let server = RedisServer::start().unwrap();
    let thief = Thief::before(&server).await;
    let queue = queue_before(&thief).await;
    for id in ["a", "b", "c"] {
        queue.enqueue(&task(id, "backend")).await.unwrap();
    }
    let me = holder("w1");
    thief.steal(IN_SLOT);
    unanswered(&queue.claim(&me, &backend(), 1, "n").await);
    let held = queue.holding(&me, &backend()).await.unwrap();
    assert_eq!(held.len(), 1, "sent once");
    assert_eq!(held[0].runs, 1);
    assert_eq!(queue.counts(&backend()).await.unwrap().pending, 2);

    queue.hold(&task("held", "backend")).await.unwrap();
    let id = "held".parse().unwrap();
    thief.steal(IN_SLOT);
    unanswered(&queue.claim_held(&me, &id, "m").await);
    let again = queue.claim_held(&me, &id, "m").await.unwrap();
    assert!(matches!(again, ClaimHeld::Claimed(claimed) if claimed.runs == 1));
}

#[tokio::test]
async fn settlements_renewals_and_cancels_without_an_answer_change_nothing_when_they_are_sent_again() {
    let server = RedisServer::start().unwrap();
    let thief = Thief::before(&server).await;
    let queue = queue_before(&thief).await;
    let me = holder("w1");
    let done = Outcome::NoChange { answer: String::new() };
    for (id, settle) in [("complete", 0), ("fail", 1), ("retry", 2), ("release", 3)] {
        queue.enqueue(&task(id, "backend")).await.unwrap();
        let Claim::Tasks { tasks, .. } = queue.claim(&me, &backend(), 1, "n").await.unwrap() else {
            panic!()
        };
        let lease = tasks[0].lease.clone();
        assert_eq!(lease.id.as_str(), id);
        thief.steal(IN_SLOT);
        unanswered(&queue.renew(std::slice::from_ref(&lease)).await);
        assert_eq!(queue.renew(std::slice::from_ref(&lease)).await.unwrap(), [Renewal::Held]);
        let settle = async || match settle {
            0 => queue.complete(&lease, &done).await,
            1 => queue.fail(&lease, &Failure::task("red")).await,
            2 => queue.retry(&lease, &Failure::transient("x"), Duration::from_secs(600)).await,
            _ => queue.release(&lease, "shutdown").await,
        };
        thief.steal(IN_SLOT);
        unanswered(&settle().await);
        thief.assert_stolen();
        assert_eq!(settle().await.unwrap(), Settlement::Already, "{id}");
    }
    let record = queue.task(&"retry".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(record.attempts, 1, "counted once");

    let id = "release".parse().unwrap();
    thief.steal(IN_SLOT);
    unanswered(&queue.cancel(&id, "ada").await);
    assert!(matches!(queue.cancel(&id, "ada").await.unwrap(), CancelAnswer::AlreadySettled(_)));
    queue.hold(&task("held", "backend")).await.unwrap();
    let id = "held".parse().unwrap();
    thief.steal(IN_SLOT);
    unanswered(&queue.release_held(&id).await);
    assert!(matches!(queue.release_held(&id).await.unwrap(), ReleaseHeldAnswer::NotHeld(_)));
    assert_eq!(queue.counts(&backend()).await.unwrap().pending, 1);
}
