//! The volume of a journal, when sizes change.

use crate::{
    says::until_ready_says,
    world::{Operator, PATIENCE, settings, space},
};
use crds::Master;
use e2e::cluster::Space;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const NAME: &str = "buildbot-feed-main";

/// A class of volumes that can grow, and a Master whose volume is of it and stays.
fn master(space: &Space) -> String {
    let class = space.name();
    format!(
        "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {class}}}
provisioner: example.org/none
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {class}}}
spec:
  storageClassName: {class}
  capacity: {{storage: 20Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {{namespace: {class}, name: {NAME}}}
  hostPath: {{path: /nowhere}}
---
apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main}}
spec:
  url: http://buildbot.example.org:8010/
  journal: {{maxSize: 2Gi}}
  storage: {{className: {class}, retain: true}}
"
    )
}

fn size(claim: &PersistentVolumeClaim) -> Option<&str> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").map(|size| size.0.as_str())
}

async fn until_size(space: &Space, wanted: &str) {
    let right = |claim: &PersistentVolumeClaim| size(claim) == Some(wanted);
    space.wait_for(NAME, &format!("it asks for {wanted}"), PATIENCE, right).await;
}

async fn change(space: &Space, change: Value) {
    let masters = space.api::<Master>();
    masters.patch("main", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
}

/// Waits until the feed's pods are to have this label, so that all of the change was applied.
async fn until_labelled(space: &Space, value: &str) {
    let right = |set: &StatefulSet| {
        let labels = set.spec.template.metadata.as_ref().and_then(|of| of.labels.as_ref());
        labels.is_some_and(|labels| labels.get("step").map(String::as_str) == Some(value))
    };
    space.wait_for(NAME, "its pods have the label", PATIENCE, right).await;
}

fn labelled(value: &str, rest: &Value) -> Value {
    let mut spec = rest.clone();
    spec["pod"] = json!({"labels": {"step": value}});
    json!({ "spec": spec })
}

#[tokio::test]
async fn k02_a_volume_that_stays_is_known_again_grows_and_is_never_asked_to_shrink() {
    let space = space("volume").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(&master(&space));
    until_size(&space, "8Gi").await;
    let bound = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    };
    space.wait_for(NAME, "it is bound", PATIENCE, bound).await;

    // Somebody else grows it, which takes the field from the operator.
    let grown = r#"{"spec":{"resources":{"requests":{"storage":"12Gi"}}}}"#;
    space.kubectl(&["patch", "pvc", NAME, "--type=merge", "--patch", grown]);
    change(&space, labelled("grown", &json!({}))).await;
    until_labelled(&space, "grown").await;
    until_size(&space, "12Gi").await;
    until_ready_says(&space, "master/main", "PodsNotReady").await;

    // A smaller journal fits in the volume that is there.
    change(&space, labelled("smaller", &json!({"journal": {"maxSize": "1Gi"}}))).await;
    until_labelled(&space, "smaller").await;
    until_size(&space, "12Gi").await;
    until_ready_says(&space, "master/main", "PodsNotReady").await;

    // What the API server refuses of the volume, here a class that lets none grow any more, is said, and the rest is
    // applied.
    let fixed = r#"{"allowVolumeExpansion":false}"#;
    space.kubectl(&["patch", "storageclass", space.name(), "--patch", fixed]);
    change(&space, labelled("refused", &json!({"storage": {"size": "16Gi"}}))).await;
    until_labelled(&space, "refused").await;
    let said = until_ready_says(&space, "master/main", "Refused").await;
    assert!(said.contains("PersistentVolumeClaim"), "{said}");

    // A Master of the same name finds the volume of the one that went.
    space.kubectl(&["delete", "master", "main", "--wait=false"]);
    space.wait_until_gone::<Master>("main", PATIENCE).await;
    space.wait_until_gone::<StatefulSet>(NAME, PATIENCE).await;
    until_size(&space, "12Gi").await;
    space.apply(&master(&space));
    space.wait_for(NAME, "it is there again", PATIENCE, |_: &StatefulSet| true).await;
    until_ready_says(&space, "master/main", "PodsNotReady").await;
    until_size(&space, "12Gi").await;
    operator.stop().await;
    space.kubectl(&["delete", "pv", space.name(), "--wait=false"]);
    space.kubectl(&["delete", "storageclass", space.name()]);
}
