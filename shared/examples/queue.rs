//! The queue as a library: tasks come in, a worker runs them, one is cancelled.
//!
//! ```sh
//! cargo run -p shared --example queue -- redis://127.0.0.1:6379
//! ```
//!
//! Its keys begin with `example`, so that it may run beside a cluster.

use std::{env, error::Error, time::Duration};

use shared::{
    Failure, Outcome, Specialty, TaskSpec,
    config::Config,
    queue::{CancelAnswer, Claim, Claimed, Holder, Queue, Renewal, Settlement},
};

type Answer<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Answer<()> {
    let url = env::args().nth(1).ok_or("say where Redis is: redis://127.0.0.1:6379")?;
    let mut config = Config::defaults()?;
    config.redis.url = url.into();
    "example".clone_into(&mut config.redis.prefix);
    let queue = Queue::open(&config.redis, &config.queue)?;
    queue.check().await?;

    // Tasks come in. An id is enqueued once, however often it is offered: after an answer that was lost, offer it
    // again. `TaskId::generate()` makes ids where there are none.
    let backend: Specialty = "backend".parse()?;
    for id in ["first", "second", "third"] {
        let spec = TaskSpec::new(id.parse()?, "octo/durations".parse()?, "hours are not shown");
        let enqueued = queue.enqueue(&TaskSpec { specialty: backend.clone(), ..spec }).await?;
        say(&format!("{id}: {enqueued:?}"));
    }

    // A person changes their mind.
    assert_eq!(queue.cancel(&"second".parse()?, "ada").await?, CancelAnswer::Cancelled);
    say("second: cancelled");

    // A worker is a name and a process. It claims as many tasks as it has free slots, runs them, and settles each.
    let holder = Holder { node: "example-pc".to_owned(), incarnation: "process-1".to_owned() };
    for round in 1.. {
        // The nonce names this call: what it took is found again should its answer be lost.
        // A task that is to run alone is the last of its claim; as tasks are run one after the other here, it does.
        let tasks = match queue.claim(&holder, &backend, 2, &format!("claim-{round}")).await? {
            Claim::Tasks { tasks, .. } => tasks,
            Claim::Paused => return Err("backend is paused".into()),
        };
        if tasks.is_empty() {
            // A real worker goes on: `wake_waiter` waits for more, `sweep` is called when it is next due.
            break;
        }
        for task in tasks {
            run(&queue, task).await?;
        }
    }

    // Whoever looks later finds what became of them.
    for id in ["first", "second", "third"] {
        let record = queue.task(&id.parse()?).await?.ok_or("the record is kept for two weeks")?;
        say(&format!("{id}: {}", record.status.name()));
        queue.delete(&record.id, "the example").await?;
    }
    Ok(())
}

/// Runs one task. Its lease is renewed while the work goes on; whoever loses it stops and publishes nothing.
async fn run(queue: &Queue, task: Claimed) -> Answer<()> {
    let spec = match &task.spec {
        Ok(spec) => spec,
        Err(unreadable) => {
            queue.fail(&task.lease, &Failure::configuration(unreadable.clone())).await?;
            return Ok(());
        }
    };
    // Two workers were lost with it. Nothing else runs here, so it may begin; a third loss would now be laid to it.
    if task.alone && !queue.set_phase(&task.lease, "preparing").await? {
        return Ok(());
    }
    let mut beat = tokio::time::interval(Duration::from_millis(queue.settings().beat_ms));
    let work = work(spec);
    tokio::pin!(work);
    let answer = loop {
        tokio::select! {
            answer = &mut work => break answer,
            _ = beat.tick() => match queue.renew(std::slice::from_ref(&task.lease)).await?.as_slice() {
                [Renewal::Held] => {}
                // The flag in the record turns the release into the cancellation.
                [Renewal::CancelRequested { .. }] => {
                    queue.release(&task.lease, "cancelled").await?;
                    return Ok(());
                }
                _ => return Ok(()),
            },
        }
    };
    // Before whatever others see of it: is it still ours?
    if queue.still_held(&task.lease).await? {
        let settled = queue.complete(&task.lease, &Outcome::NoChange { answer }).await?;
        assert_eq!(settled, Settlement::Done);
        say(&format!("{}: {settled:?} by {}", task.lease.id, task.lease.incarnation));
    }
    Ok(())
}

async fn work(spec: &TaskSpec) -> String {
    tokio::time::sleep(Duration::from_millis(20)).await;
    format!("'{}' has been looked at", spec.title)
}

#[expect(clippy::print_stdout, reason = "an example speaks to whoever runs it")]
fn say(line: &str) {
    println!("{line}");
}
