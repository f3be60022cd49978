//! What is said of a resource while its pods are replaced.

use crate::{
    process::{feed_of_main, pod_is_ready},
    says::until_ready_says,
    world::{OBJECTS, Operator, PATIENCE, RESOURCES, settings, space, until_objects},
};
use crds::MailNotifier;
use e2e::{cluster::Space, free_port, wait_until};
use futures_util::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::sync::{Arc, Mutex};

/// Tells the cluster that the pod of the MailNotifier is ready; gives its name. It is another one than `before`.
async fn mail_is_ready(space: &Space, before: Option<&str>) -> String {
    let pods = ["get", "pods", "--selector=app.kubernetes.io/component=mail", "--output"];
    let names = "jsonpath={.items[*].metadata.name}";
    let pod = wait_until("there is another pod", PATIENCE, async || {
        let there = space.kubectl(&[&pods[..], &[names]].concat());
        there.split_whitespace().find(|name| Some(*name) != before).map(str::to_owned)
    })
    .await;
    pod_is_ready(space, &pod).await;
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn k05_a_changed_resource_is_not_ready_before_its_new_pods_are() {
    let space = space("rollout").await;
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let feeds_at = Some(format!("http://127.0.0.1:{port}/"));
    let operator =
        Operator::start(space.client(), operator::Settings { feeds_at, ..settings(&space) });
    space.apply(&RESOURCES.replace("http://buildbot.example.org:8010/", "http://127.0.0.1:9/"));
    until_objects(&space, &OBJECTS).await;
    let _feed = feed_of_main(&space, folder.path(), port).await;
    let old = mail_is_ready(&space, None).await;
    until_ready_says(&space, "mailnotifier/mail", "Ready").await;

    // Every status that is written from now on: its generation, and whether it is ready.
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut statuses =
        watcher(space.api::<MailNotifier>(), watcher::Config::default()).applied_objects().boxed();
    let first = statuses.next().await.unwrap().unwrap();
    let noted = Arc::clone(&said);
    let noting = tokio::spawn(async move {
        while let Some(Ok(mail)) = statuses.next().await {
            let conditions = mail.status.map(|status| status.conditions).unwrap_or_default();
            let ready = conditions.into_iter().find(|c| c.type_ == "Ready").unwrap();
            noted.lock().unwrap().push((ready.observed_generation, ready.status == "True"));
        }
    });
    let other = r#"{"spec":{"subject":"another"}}"#;
    space.kubectl(&["patch", "mailnotifier/mail", "--type=merge", "--patch", other]);
    let next = first.metadata.generation.map(|generation| generation + 1);
    wait_until("something is said of the change", PATIENCE, async || {
        said.lock().unwrap().iter().any(|(generation, _)| *generation == next).then_some(())
    })
    .await;
    let before = said.lock().unwrap().clone();
    assert!(!before.contains(&(next, true)), "the new pod is not ready: {before:?}");
    mail_is_ready(&space, Some(&old)).await;
    wait_until("it is ready again", PATIENCE, async || {
        said.lock().unwrap().contains(&(next, true)).then_some(())
    })
    .await;
    noting.abort();
    operator.stop().await;
}
