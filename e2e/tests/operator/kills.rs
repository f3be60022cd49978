//! The operator killed between any two of its calls.

use crate::world::{
    OBJECTS, Operator, PATIENCE, RESOURCES, objects, settings, space, until_objects,
};
use axum::http::{Method, Request, Response};
use e2e::wait_until;
use futures_util::future::{BoxFuture, pending};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::Notify;
use tower::{Layer, Service};

/// Lets so many writes pass; nothing passes after them, as if the process were gone.
#[derive(Clone)]
struct After {
    left: Arc<AtomicUsize>,
    killed: Arc<Notify>,
}

impl<S> Layer<S> for After {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, after: self.clone() }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    after: After,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let writes = request.method() != Method::GET;
        let left = &self.after.left;
        let take = |left: usize| left.checked_sub(1);
        if writes && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            self.after.killed.notify_one();
            return Box::pin(pending());
        }
        Box::pin(self.inner.call(request))
    }
}

#[tokio::test]
async fn k02_killed_between_any_two_calls_it_converges_to_the_same() {
    let space = space("kills").await;
    let config = space.cluster().config().await;
    // Every place takes some seconds; `E2E_EVERY_KILL` has all of them tried.
    let step = if std::env::var_os("E2E_EVERY_KILL").is_some() { 1 } else { 4 };
    let mut writes = 0;
    loop {
        let after = After { left: Arc::new(AtomicUsize::new(writes)), killed: Arc::default() };
        let client: Client =
            ClientBuilder::try_from(config.clone()).unwrap().with_layer(&after).build();
        let operator = Operator::start(client, settings(&space));
        space.apply(RESOURCES);
        // Killed at this write, or done before it.
        let done = tokio::select! {
            () = after.killed.notified() => false,
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
