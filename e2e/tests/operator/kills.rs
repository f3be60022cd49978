//! The operator killed between any two of its calls.

use crate::{
    silence::Silence,
    world::{OBJECTS, Operator, PATIENCE, RESOURCES, objects, settings, space, until_objects},
};
use axum::http::Method;
use e2e::wait_until;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// Lets so many writes pass; nothing passes after them, as if the process were gone. Tells when that begins.
fn after(writes: usize) -> (Silence, Arc<Notify>) {
    let (left, killed) = (AtomicUsize::new(writes), Arc::new(Notify::new()));
    let tell = Arc::clone(&killed);
    let silence = Silence::about(move |request| {
        let take = |left: usize| left.checked_sub(1);
        let writes = request.method() != Method::GET;
        let late = writes && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err();
        if late {
            tell.notify_one();
        }
        late
    });
    (silence, killed)
}

#[tokio::test]
async fn k02_killed_between_any_two_calls_it_converges_to_the_same() {
    let space = space("kills").await;
    // Every place takes some seconds; `E2E_EVERY_KILL` has all of them tried.
    let step = if std::env::var_os("E2E_EVERY_KILL").is_some() { 1 } else { 4 };
    let mut writes = 0;
    loop {
        let (silence, killed) = after(writes);
        let client = silence.client(space.cluster()).await;
        let operator = Operator::start(client, settings(&space));
        space.apply(RESOURCES);
        // Killed at this write, or done before it.
        let done = tokio::select! {
            () = killed.notified() => false,
            () = until_settled(&space, &operator) => true,
        };
        operator.kill().await;
        let operator = Operator::start(space.client(), settings(&space));
        until_objects(&space, &OBJECTS).await;
        space.kubectl(&["delete", "webstatus,mailnotifier,master", "--all", "--wait=false"]);
        until_objects(&space, &[]).await;
        operator.stop().await;
        if done {
            break;
        }
        writes += step;
    }
    // One finalizer, as many applies as objects, three statuses and their Events.
    assert!(writes > OBJECTS.len(), "only {writes} writes");
}

/// Everything is there, and a while nothing is written.
async fn until_settled(space: &e2e::cluster::Space, operator: &Operator) {
    until_objects(space, &OBJECTS).await;
    wait_until("nothing is written any more", PATIENCE, async || {
        let before = (objects(space).await, operator.figure("status_writes_total", ""));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let now = (objects(space).await, operator.figure("status_writes_total", ""));
        (before == now).then_some(())
    })
    .await;
}
