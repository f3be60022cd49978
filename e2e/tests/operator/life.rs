//! What a resource becomes, and what is left of it.

use crate::world::{
    OBJECTS, Operator, PATIENCE, RESOURCES, objects, settings, space, until_objects,
};
use crds::{Master, WebStatus};
use e2e::wait_until;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, ServiceAccount},
};
use kube::api::{DeleteParams, Patch, PatchParams};
use operator::Settings;
use serde_json::json;

/// The names of the Master's objects.
const FEED: [&str; 5] = [
    "ConfigMap buildbot-feed-main",
    "Secret buildbot-feed-main",
    "Service buildbot-feed-main",
    "ServiceAccount buildbot-feed-main",
    "StatefulSet buildbot-feed-main",
];

#[tokio::test]
async fn k02_resources_become_objects_and_deletion_leaves_nothing() {
    let space = space("life").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    // The Master goes last, although it was to go first.
    space.kubectl(&["delete", "master", "main", "--wait=false"]);
    let ready = |master: &Master| {
        let conditions = master.status.as_ref().map(|status| status.conditions.clone());
        conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.reason == "InUse")
    };
    let master = space.wait_for::<Master>("main", "it is in use", PATIENCE, ready).await;
    let conditions = master.status.unwrap().conditions;
    let said = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert!(said.message.contains("MailNotifier"), "{}", said.message);
    assert!(objects(&space).await.contains_key("StatefulSet buildbot-feed-main"));
    space.kubectl(&["delete", "webstatus,mailnotifier", "--all"]);
    space.wait_until_gone::<Master>("main", PATIENCE).await;
    until_objects(&space, &[]).await;
    operator.stop().await;
}

#[tokio::test]
async fn k02_what_others_change_is_repaired_and_what_is_not_wanted_any_more_goes() {
    let space = space("drift").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    let deployments = space.api::<Deployment>();

    space.kubectl(&["scale", "deployment/buildbot-mail-mail", "--replicas=0"]);
    let one = |d: &Deployment| d.spec.replicas == Some(1);
    space.wait_for("buildbot-mail-mail", "one replica again", PATIENCE, one).await;

    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "target", "image": "localhost/other:1"}]}}}});
    let params = PatchParams::default();
    deployments.patch("buildbot-mail-mail", &params, &Patch::Strategic(&patch)).await.unwrap();
    let image = |d: &Deployment| {
        let spec = d.spec.template.spec.as_ref();
        spec.and_then(|spec| spec.containers[0].image.as_deref())
            == Some("localhost/buildbot-status:test")
    };
    space.wait_for("buildbot-mail-mail", "its image again", PATIENCE, image).await;

    space.kubectl(&["label", "configmap/buildbot-mail-mail", "app.kubernetes.io/managed-by-"]);
    space.kubectl(&["delete", "secret/buildbot-mail-mail", "serviceaccount/buildbot-web-pages"]);
    space.wait_for("buildbot-mail-mail", "its token again", PATIENCE, |_: &Secret| true).await;
    space.wait_for("buildbot-web-pages", "there again", PATIENCE, |_: &ServiceAccount| true).await;
    let labelled = |map: &ConfigMap| {
        let labels = map.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
    };
    space.wait_for("buildbot-mail-mail", "its label again", PATIENCE, labelled).await;

    let patch = json!({"spec": {"ingress": null}});
    let pages = space.api::<WebStatus>();
    pages.patch("pages", &params, &Patch::Merge(&patch)).await.unwrap();
    let without: Vec<&str> =
        OBJECTS.into_iter().filter(|name| !name.starts_with("Ingress")).collect();
    until_objects(&space, &without).await;
    operator.stop().await;
}

#[tokio::test]
async fn k02_an_operator_that_starts_again_applies_nothing() {
    let space = space("again").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    // The controllers of Kubernetes have their say as well.
    let settled = || async {
        let before = objects(&space).await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        (objects(&space).await == before).then_some(before)
    };
    let before = wait_until("nothing changes any more", PATIENCE, async || settled().await).await;
    operator.stop().await;
    let operator = Operator::start(space.client(), settings(&space));
    wait_until("all were looked at", PATIENCE, async || {
        (operator.figure("applies_total", "unchanged") >= 15.0).then_some(())
    })
    .await;
    assert!(operator.figure("applies_total", "applied") < 0.5);
    assert_eq!(objects(&space).await, before);
    operator.stop().await;
}

#[tokio::test]
async fn k02_a_feed_that_never_started_is_replaced_when_its_settings_are_mended() {
    let space = space("stuck").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    // There are no nodes here, so no pod ever gets ready.
    let first =
        space.wait_for::<Pod>("buildbot-feed-main-0", "it is there", PATIENCE, |_| true).await;
    let patch = json!({"spec": {"pod": {"nodeSelector": {"disk": "fast"}}}});
    let masters = space.api::<Master>();
    masters.patch("main", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let mended = |pod: &Pod| {
        pod.metadata.uid != first.metadata.uid
            && pod.spec.as_ref().is_some_and(|spec| {
                spec.node_selector.as_ref().is_some_and(|nodes| nodes.contains_key("disk"))
            })
    };
    space.wait_for("buildbot-feed-main-0", "it is another one", PATIENCE, mended).await;
    operator.stop().await;
}

#[tokio::test]
async fn k02_an_operator_of_two_namespaces_acts_upon_the_resources_of_both() {
    let (one, two) = (space("one").await, space("two").await);
    let both = || Settings {
        namespaces: [&one, &two].map(|space| space.name().to_owned()).into(),
        ..settings(&one)
    };
    let operator = Operator::start(one.client(), both());
    for space in [&one, &two] {
        space.apply(RESOURCES);
        until_objects(space, &OBJECTS).await;
    }
    operator.stop().await;
    // At its start the lists of the namespaces come one after another.
    for space in [&one, &two] {
        space.kubectl(&["delete", "deployment/buildbot-mail-mail", "--wait=false"]);
    }
    let operator = Operator::start(one.client(), both());
    for space in [&one, &two] {
        until_objects(space, &OBJECTS).await;
        let reason = "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}";
        let said = space.kubectl(&["get", "mailnotifier/mail", "--output", reason]);
        assert_ne!(said, "MasterNotFound", "{}", space.name());
    }
    operator.stop().await;
}

#[tokio::test]
async fn k02_an_object_of_somebody_else_is_left_alone() {
    let space = space("taken").await;
    let theirs = "{apiVersion: v1, kind: ConfigMap, metadata: {name: buildbot-mail-mail}, \
                  data: {manifest.yaml: theirs}}";
    space.apply(theirs);
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    crate::says::until_ready_says(&space, "mailnotifier/mail", "NameTaken").await;
    let map = space.api::<ConfigMap>().get("buildbot-mail-mail").await.unwrap();
    assert_eq!(map.data.unwrap()["manifest.yaml"], "theirs");
    assert_eq!(map.metadata.owner_references, None);
    space.api::<ConfigMap>().delete("buildbot-mail-mail", &DeleteParams::default()).await.unwrap();
    until_objects(&space, &OBJECTS).await;
    operator.stop().await;
}

#[tokio::test]
async fn k02_an_object_of_somebody_else_is_left_alone_even_if_no_field_is_in_conflict() {
    let space = space("adopted").await;
    space.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: buildbot-mail-mail}, stringData: {other: theirs}}",
    );
    space.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: buildbot-web-pages}, data: {other: theirs}}",
    );
    let version = async || {
        let secret = space.api::<Secret>().get("buildbot-mail-mail").await.unwrap();
        let map = space.api::<ConfigMap>().get("buildbot-web-pages").await.unwrap();
        (secret.metadata.resource_version, map.metadata.resource_version)
    };
    let before = version().await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    for resource in ["mailnotifier/mail", "webstatus/pages"] {
        crate::says::until_ready_says(&space, resource, "NameTaken").await;
    }
    assert_eq!(version().await, before, "they are as they were");
    space.kubectl(&["delete", "mailnotifier,webstatus", "--all"]);
    until_objects(&space, &FEED).await;
    assert_eq!(version().await, before, "they do not go with our resources");
    operator.stop().await;
}

#[tokio::test]
async fn k02_a_resource_that_a_master_does_not_allow_does_not_keep_it() {
    let (one, two) = (space("mine").await, space("other").await);
    let namespaces = [&one, &two].map(|space| space.name().to_owned()).into();
    let operator = Operator::start(one.client(), Settings { namespaces, ..settings(&one) });
    one.apply(RESOURCES.split("---").next().unwrap());
    let mail = RESOURCES.rsplit("---").next().unwrap();
    let there = format!("masterRef: {{name: main, namespace: {}}}", one.name());
    two.apply(&mail.replace("masterRef: {name: main}", &there));
    crate::says::until_ready_says(&two, "mailnotifier/mail", "NotAllowed").await;
    let counted =
        |master: &Master| master.status.as_ref().is_some_and(|status| status.targets == Some(0));
    one.wait_for("main", "it has no targets", PATIENCE, counted).await;
    one.kubectl(&["delete", "master", "main", "--wait=false"]);
    one.wait_until_gone::<Master>("main", PATIENCE).await;
    operator.stop().await;
}

#[tokio::test]
async fn k08_a_resource_that_is_no_longer_allowed_loses_its_pods_and_its_token() {
    let (one, two) = (space("host").await, space("guest").await);
    let namespaces = [&one, &two].map(|space| space.name().to_owned()).into();
    let operator = Operator::start(one.client(), Settings { namespaces, ..settings(&one) });
    let master = RESOURCES.split("---").next().unwrap();
    let open = master.replace("spec:", "spec:\n  allowedNamespaces: {from: All}");
    one.apply(&open);
    let mail = RESOURCES.rsplit("---").next().unwrap();
    let there = format!("masterRef: {{name: main, namespace: {}}}", one.name());
    two.apply(&mail.replace("masterRef: {name: main}", &there));
    const ALL: [&str; 4] = [
        "ConfigMap buildbot-mail-mail",
        "Deployment buildbot-mail-mail",
        "Secret buildbot-mail-mail",
        "ServiceAccount buildbot-mail-mail",
    ];
    until_objects(&two, &ALL).await;
    one.apply(&master.replace("spec:", "spec:\n  allowedNamespaces: {from: Same}"));
    until_objects(&two, &[ALL[0], ALL[3]]).await;
    crate::says::until_ready_says(&two, "mailnotifier/mail", "NotAllowed").await;
    one.apply(&open);
    until_objects(&two, &ALL).await;
    operator.stop().await;
}
