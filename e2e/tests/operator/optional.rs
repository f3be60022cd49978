//! What a resource is given only where it asks for it, or where the cluster has the kind.

use crate::{
    says::until_ready_says,
    silence::Silence,
    world::{
        OBJECTS, Operator, PATIENCE, RESOURCES, kinds, objects, settings, space, until_objects,
    },
};
use crds::WebStatus;
use e2e::{
    cluster::{Cluster, Space, Tier},
    wait_until,
};
use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, policy::v1::PodDisruptionBudget,
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::{sync::OnceLock, time::Duration};

/// A namespace of the cluster whose kinds come and go.
async fn alone(name: &str) -> Space {
    static CLUSTER: OnceLock<&Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let cluster = Cluster::alone(Tier::Control, "kinds");
        kinds(cluster);
        cluster
    });
    Space::new(cluster, name).await
}

async fn change_pages(space: &Space, change: &Value) -> WebStatus {
    let pages = space.api::<WebStatus>();
    pages.patch("pages", &PatchParams::default(), &Patch::Merge(change)).await.unwrap()
}

/// Waits until there are just these objects of a kind.
async fn until_named(space: &Space, kind: &str, wanted: &[&str]) {
    wait_until(&format!("{kind}: {wanted:?}"), PATIENCE, async || {
        let names = ["get", kind, "--output", "jsonpath={.items[*].metadata.name}"];
        let there = space.try_kubectl(&names).ok()?;
        (there.split_whitespace().collect::<Vec<_>>() == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn k02_pages_follow_the_load_and_stay_while_nodes_are_drained_where_that_is_asked_for() {
    let space = space("scale").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    let scaling = json!({"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 70});
    let budget = json!({"maxUnavailable": 1});
    let asked = json!({"spec": {"autoscaling": scaling, "disruptionBudget": budget}});
    let name = "buildbot-web-pages";
    change_pages(&space, &json!({"spec": {"replicas": 3}})).await;
    let three = |d: &Deployment| d.spec.replicas == Some(3);
    space.wait_for(name, "as many pods as the resource wants", PATIENCE, three).await;
    let changed = change_pages(&space, &asked).await;
    until_observed(&space, changed.metadata.generation).await;
    let deployment = space.api::<Deployment>().get(name).await.unwrap();
    assert_eq!(deployment.spec.replicas, Some(3), "the switch takes none away");

    let scaler: HorizontalPodAutoscaler =
        space.wait_for(name, "there is an autoscaler", PATIENCE, |_| true).await;
    let spec = serde_json::to_value(scaler.spec).unwrap();
    assert_eq!(
        spec["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
    );
    assert_eq!((&spec["minReplicas"], &spec["maxReplicas"]), (&json!(2), &json!(5)));
    let target = json!({"type": "Utilization", "averageUtilization": 70});
    assert_eq!(spec["metrics"][0]["resource"], json!({"name": "cpu", "target": target}));
    let guard: PodDisruptionBudget =
        space.wait_for(name, "there is a budget", PATIENCE, |_| true).await;
    let spec = serde_json::to_value(guard.spec).unwrap();
    assert_eq!(spec["maxUnavailable"], json!(1));
    let deployments = space.api::<Deployment>();
    let pods = serde_json::to_value(deployments.get(name).await.unwrap().spec).unwrap();
    assert_eq!(spec["selector"], pods["selector"], "it counts the pods of the pages");

    // Somebody else says how many, as the autoscaler does, and the operator lets it.
    space.kubectl(&["scale", "deployment", name, "--replicas=4"]);
    let changed = change_pages(&space, &json!({"spec": {"title": "Scaled"}})).await;
    until_observed(&space, changed.metadata.generation).await;
    assert_eq!(deployments.get(name).await.unwrap().spec.replicas, Some(4));

    let plain = json!({"spec": {"autoscaling": null, "disruptionBudget": null, "replicas": 3}});
    change_pages(&space, &plain).await;
    space.wait_until_gone::<HorizontalPodAutoscaler>(name, PATIENCE).await;
    space.wait_until_gone::<PodDisruptionBudget>(name, PATIENCE).await;
    space.wait_for(name, "as many pods as the resource wants", PATIENCE, three).await;
    operator.stop().await;
}

/// Waits until the status of the pages is about this generation.
async fn until_observed(space: &Space, generation: Option<i64>) {
    let observed = move |pages: &WebStatus| {
        pages.status.as_ref().is_some_and(|status| status.observed_generation == generation)
    };
    space.wait_for("pages", "it was reconciled", PATIENCE, observed).await;
}

#[tokio::test]
async fn k06_monitors_come_with_their_kind_and_its_going_does_no_harm() {
    const KIND: &str = "podmonitors.monitoring.coreos.com";
    const MONITORS: [&str; 3] = ["buildbot-feed-main", "buildbot-mail-mail", "buildbot-web-pages"];
    let space = alone("monitors").await;
    let often =
        operator::Settings { kinds_asked_every: Duration::from_secs(1), ..settings(&space) };
    let operator = Operator::start(space.client(), often);
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    space.cluster().apply_kinds("monitoring-crds.yaml");
    until_named(&space, KIND, &MONITORS).await;
    // It is watched from then on.
    let uid = ["get", KIND, "buildbot-mail-mail", "--output", "jsonpath={.metadata.uid}"];
    let before = space.kubectl(&uid);
    space.kubectl(&["delete", KIND, "buildbot-mail-mail", "--wait=false"]);
    wait_until("another one is made", PATIENCE, async || {
        space.try_kubectl(&uid).ok().filter(|now| *now != before)
    })
    .await;
    operator.stop().await;

    // One that asks every five minutes knows at once that a kind is gone.
    let operator = Operator::start(space.client(), settings(&space));
    let unchanged = OBJECTS.len() + MONITORS.len();
    wait_until("all were looked at", PATIENCE, async || {
        (operator.figure("applies_total", "unchanged") >= unchanged as f64).then_some(())
    })
    .await;
    space.cluster().kubectl(&["delete", "crd", KIND, "--wait=false"]);
    let mut titles = 0..;
    let figure = |name: &str| operator.figure(name, "PodMonitor").round() as u64;
    wait_until("a reconcile does without monitors", PATIENCE, async || {
        let before = figure("applies_total");
        let title = format!("Title {}", titles.next()?);
        let changed = change_pages(&space, &json!({"spec": {"title": title}})).await;
        until_observed(&space, changed.metadata.generation).await;
        (figure("applies_total") == before).then_some(())
    })
    .await;
    // The operator holds up no kind that is being removed: objects that it made anew would.
    wait_until("the kind is gone", PATIENCE, async || {
        let said = space.try_kubectl(&["get", "crd", KIND]).err()?;
        said.contains("NotFound").then_some(())
    })
    .await;
    // A watch that were tried again would fail again within this time: its pauses grow from 0.8 seconds.
    let errors = figure("watch_errors_total");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(figure("watch_errors_total"), errors);
    assert_eq!(objects(&space).await.len(), OBJECTS.len());
    operator.stop().await;
}

#[tokio::test]
async fn k04_a_route_that_can_not_be_applied_any_more_is_said() {
    const KIND: &str = "httproutes.gateway.networking.k8s.io";
    let space = alone("routes").await;
    space.cluster().apply_kinds("contour-crds.yaml");
    // Only the answer to an apply can tell this operator that the kind is gone.
    let silence = Silence::about(|request| {
        let uri = request.uri();
        uri.path().ends_with("/httproutes") && uri.query().is_some_and(|q| q.contains("watch=true"))
    });
    let operator = Operator::start(silence.client(space.cluster()).await, settings(&space));
    space.apply(RESOURCES);
    let route = |host: &str| {
        let gateways = json!([{"name": "contour", "namespace": "kube-system"}]);
        json!({"spec": {"httpRoute": {"parentRefs": gateways, "hostnames": [host]}}})
    };
    change_pages(&space, &route("one.example.org")).await;
    until_named(&space, KIND, &["buildbot-web-pages"]).await;
    let spec = space.kubectl(&["get", KIND, "buildbot-web-pages", "--output", "jsonpath={.spec}"]);
    let spec: Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec["hostnames"], json!(["one.example.org"]));
    assert_eq!(spec["rules"][0]["backendRefs"][0]["name"], "buildbot-web-pages");

    space.cluster().kubectl(&["delete", "crd", KIND, "--wait=false"]);
    wait_until("the kind is gone", PATIENCE, async || {
        let said = space.try_kubectl(&["get", "crd", KIND]).err()?;
        said.contains("NotFound").then_some(())
    })
    .await;
    change_pages(&space, &route("two.example.org")).await;
    assert_eq!(
        until_ready_says(&space, "webstatus/pages", "KindNotFound").await,
        "spec.httpRoute: the cluster has no HTTPRoute: install the Gateway API's CRDs"
    );
    until_objects(&space, &OBJECTS).await;
    operator.stop().await;
}
