//! The operator with no more than the chart's rights, and several of them.

use crate::world::{OBJECTS, Operator, PATIENCE, RESOURCES, settings, space, until_objects};
use e2e::{cluster::Space, wait_until};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use operator::{LeaseSettings, RunError};
use std::{path::Path, time::Duration};

/// The chart installed with these settings: its operator's client, and its Lease.
async fn installed(space: &Space, settings: &[&str]) -> (Client, LeaseSettings) {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/buildbot-status-operator");
    let namespaces = format!("watchNamespaces={{{}}}", space.name());
    let chart = chart.to_str().unwrap();
    let mut arguments =
        vec!["install", "status", chart, "--namespace", space.name(), "--set", &namespaces];
    arguments.extend(settings);
    space.cluster().helm(&arguments);
    let accounts = space.kubectl(&[
        "get",
        "serviceaccount",
        "--selector",
        "app.kubernetes.io/name=buildbot-status-operator",
        "--output",
        "jsonpath={.items[*].metadata.name}",
    ]);
    let arguments = space.kubectl(&[
        "get",
        "deployment",
        "--selector",
        "app.kubernetes.io/name=buildbot-status-operator",
        "--output",
        "jsonpath={.items[*].spec.template.spec.containers[0].args}",
    ]);
    let name = arguments.split("--lease=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let client = space.cluster().client_as(space.name(), accounts.trim()).await;
    let lease = LeaseSettings {
        name: name.to_owned(),
        namespace: space.name().to_owned(),
        duration: Duration::from_secs(15),
    };
    (client, lease)
}

#[tokio::test]
async fn k08_the_rights_that_the_chart_gives_are_enough() {
    let space = space("rights").await;
    let (client, lease) = installed(&space, &[]).await;
    let operator = Operator::start(
        client,
        operator::Settings { lease: Some(lease), network_policies: true, ..settings(&space) },
    );
    space.apply(RESOURCES);
    let mut wanted: Vec<String> = OBJECTS.map(str::to_owned).to_vec();
    for name in ["feed-main", "mail-mail", "web-pages"] {
        wanted.push(format!("NetworkPolicy buildbot-{name}"));
    }
    wanted.sort();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    until_objects(&space, &wanted).await;
    crate::says::until_ready_says(&space, "mailnotifier/mail", "PodsNotReady").await;
    space.kubectl(&["delete", "webstatus,mailnotifier,master", "--all", "--wait=false"]);
    until_objects(&space, &[]).await;
    let failed = ["api", "refused"].map(|class| operator.figure("reconciles_total", class));
    operator.stop().await;
    assert_eq!(failed, [0.0, 0.0]);
}

#[tokio::test]
async fn k08_without_the_right_to_read_secrets_they_are_made_kept_and_never_taken() {
    let space = space("unread").await;
    let (client, lease) = installed(&space, &["--set", "watchSecrets=false"]).await;
    let unread = || operator::Settings {
        lease: Some(lease.clone()),
        watch_secrets: false,
        ..settings(&space)
    };
    space.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: buildbot-web-pages}, stringData: {other: theirs}}",
    );
    let theirs = space.api::<Secret>().get("buildbot-web-pages").await.unwrap();
    let operator = Operator::start(client.clone(), unread());
    space.apply(RESOURCES);
    crate::says::until_ready_says(&space, "webstatus/pages", "NameTaken").await;
    crate::says::until_ready_says(&space, "mailnotifier/mail", "PodsNotReady").await;
    operator.stop().await;
    // One that starts again knows none of its Secrets.
    let operator = Operator::start(client, unread());
    wait_until("it looked at the Secrets again", PATIENCE, async || {
        let looked = ["applied", "conflict"].map(|how| operator.figure("applies_total", how));
        (looked[0] >= 2.0 && looked[1] >= 1.0).then_some(())
    })
    .await;
    crate::says::until_ready_says(&space, "mailnotifier/mail", "PodsNotReady").await;
    let after = space.api::<Secret>().get("buildbot-web-pages").await.unwrap();
    assert_eq!(after.metadata.resource_version, theirs.metadata.resource_version);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k09_a_namespace_without_rights_does_not_keep_the_others_waiting_nor_the_operator_from_ending()
 {
    let (one, two) = (space("allowed").await, space("refused").await);
    let (client, lease) = installed(&one, &[]).await;
    let both = || operator::Settings {
        lease: Some(lease.clone()),
        namespaces: [&one, &two].map(|space| space.name().to_owned()).into(),
        ..settings(&one)
    };
    let refused = operator::Settings { namespaces: [two.name().to_owned()].into(), ..both() };
    let operator = Operator::start(client.clone(), refused);
    wait_until("it has the Lease", PATIENCE, async || {
        (operator.figure("leader", "") > 0.5).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(3), operator.stop()).await.unwrap();

    let operator = Operator::start(client, both());
    one.apply(RESOURCES);
    two.apply(RESOURCES);
    until_objects(&one, &OBJECTS).await;
    // What is refused is tried again.
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/buildbot-status-operator");
    let namespaces = format!("watchNamespaces={{{},{}}}", one.name(), two.name());
    let upgrade = ["upgrade", "status", chart.to_str().unwrap(), "--namespace", one.name()];
    one.cluster().helm(&[&upgrade[..], &["--set", &namespaces]].concat());
    until_objects(&two, &OBJECTS).await;
    operator.stop().await;
}

#[tokio::test]
async fn k02_of_two_operators_one_writes_and_the_other_takes_over() {
    let space = space("leader").await;
    let with_lease = || operator::Settings {
        lease: Some(LeaseSettings {
            name: "leader".to_owned(),
            namespace: space.name().to_owned(),
            duration: Duration::from_secs(4),
        }),
        ..settings(&space)
    };
    let leads = |operator: &Operator| operator.figure("leader", "") > 0.5;
    let first = Operator::start(space.client(), with_lease());
    wait_until("the first leads", PATIENCE, async || leads(&first).then_some(())).await;
    let second = Operator::start(space.client(), with_lease());
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    assert!(leads(&first) && !leads(&second));
    // Killed, it can't give the Lease away: the other waits until its time is over.
    first.kill().await;
    wait_until("the second leads", PATIENCE, async || leads(&second).then_some(())).await;
    // Given away at the end, it is another's at once.
    let third = Operator::start(space.client(), with_lease());
    second.stop().await;
    wait_until("the third leads", PATIENCE, async || leads(&third).then_some(())).await;
    // Taken from it, it ends instead of writing beside the other.
    let take = r#"{"spec":{"holderIdentity":"somebody else"}}"#;
    space.kubectl(&["patch", "lease/leader", "--type=merge", "--patch", take]);
    let ended = tokio::time::timeout(PATIENCE, third.ended()).await.unwrap();
    assert!(matches!(ended, Err(RunError::LostLease(_))), "{ended:?}");
}
