//! How many resources wait.

use crate::{
    silence::Silence,
    world::{Operator, PATIENCE, settings, space},
};
use axum::http::Method;
use e2e::wait_until;

fn mail(name: &str, domain: &str) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: MailNotifier
metadata: {{name: {name}}}
spec:
  masterRef: {{name: main}}
  fromaddr: buildbot@example.org
  lookup: {domain}
  relayhost: smtp.example.org
---
"
    )
}

#[tokio::test]
async fn k06_the_queue_counts_each_resource_that_waits_once() {
    let space = space("queue").await;
    let apply =
        |domain: &str| space.apply(&["a", "b", "c"].map(|name| mail(name, domain)).concat());
    apply("example.org");
    // No write ever ends, and there is room for one reconcile.
    let writes = Silence::about(|request| request.method() != Method::GET);
    let client = writes.client(space.cluster()).await;
    let operator =
        Operator::start(client, operator::Settings { concurrency: 1, ..settings(&space) });
    let waits = async |resources: f64| {
        wait_until(&format!("{resources} resources wait"), PATIENCE, async || {
            (operator.figure("queue_depth", "MailNotifier") == resources).then_some(())
        })
        .await;
    };
    waits(2.0).await;
    // The one that is worked on is asked for again; the others wait already, and go on waiting once.
    apply("example.com");
    waits(3.0).await;
    apply("example.net");
    let seen = operator.figure("queue_depth", "MailNotifier");
    assert_eq!(seen, 3.0);
    operator.kill().await;

    let operator = Operator::start(space.client(), settings(&space));
    wait_until("all were worked on and none waits", PATIENCE, async || {
        let done = operator.figure("reconciles_total", "MailNotifier");
        let left = operator.figure("queue_depth", "MailNotifier");
        (done >= 3.0 && left == 0.0).then_some(())
    })
    .await;
    operator.stop().await;
}
