//! An operator in this process, for one namespace of the shared cluster.

use e2e::cluster::{Cluster, Space, Tier};
use kube::{
    Client,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use operator::{Metrics, RunError, Seeds, Settings};
use prometheus::Registry;
use std::{collections::BTreeMap, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The kinds of objects that the operator makes in every cluster.
const KINDS: [(&str, &str, &str); 10] = [
    ("", "ServiceAccount", "serviceaccounts"),
    ("", "Secret", "secrets"),
    ("", "ConfigMap", "configmaps"),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "Service", "services"),
    ("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    ("networking.k8s.io", "Ingress", "ingresses"),
    ("apps", "Deployment", "deployments"),
    ("apps", "StatefulSet", "statefulsets"),
    ("policy", "PodDisruptionBudget", "poddisruptionbudgets"),
];

/// A Master, pages and mail.
pub const RESOURCES: &str = "
apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {name: main}
spec:
  url: http://buildbot.example.org:8010/
  storage: {ephemeral: true}
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {name: pages}
spec:
  masterRef: {name: main}
  ingress: {host: status.example.org}
---
apiVersion: statustargets.dev/v1alpha1
kind: MailNotifier
metadata: {name: mail}
spec:
  masterRef: {name: main}
  fromaddr: buildbot@example.org
  lookup: example.org
  relayhost: smtp.example.org
";

/// The names of what [`RESOURCES`] becomes.
pub const OBJECTS: [&str; 15] = [
    "ConfigMap buildbot-feed-main",
    "ConfigMap buildbot-mail-mail",
    "ConfigMap buildbot-web-pages",
    "Deployment buildbot-mail-mail",
    "Deployment buildbot-web-pages",
    "Ingress buildbot-web-pages",
    "Secret buildbot-feed-main",
    "Secret buildbot-mail-mail",
    "Secret buildbot-web-pages",
    "Service buildbot-feed-main",
    "Service buildbot-web-pages",
    "ServiceAccount buildbot-feed-main",
    "ServiceAccount buildbot-mail-mail",
    "ServiceAccount buildbot-web-pages",
    "StatefulSet buildbot-feed-main",
];

/// A namespace with our kinds in the cluster.
pub async fn space(name: &str) -> Space {
    static KINDS: std::sync::Once = std::sync::Once::new();
    let cluster = Cluster::shared(Tier::Control);
    KINDS.call_once(|| kinds(cluster));
    Space::new(cluster, name).await
}

/// Installs our kinds.
pub fn kinds(cluster: &Cluster) {
    cluster.apply(&crds::yaml().unwrap());
    cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd",
        "masters.statustargets.dev",
        "webstatuses.statustargets.dev",
        "mailnotifiers.statustargets.dev",
        "httppushes.statustargets.dev",
        "statuspushes.statustargets.dev",
        "gerritpushes.statustargets.dev",
        "githubstatuses.statustargets.dev",
        "--timeout=30s",
    ]);
}

/// Settings of an operator of one namespace. NetworkPolicies only lengthen the lists here; golden
/// files have them.
pub fn settings(space: &Space) -> Settings {
    Settings {
        namespaces: [space.name().to_owned()].into(),
        network_policies: false,
        identity: "test".to_owned(),
        ..Settings::new("localhost/buildbot-status:test")
    }
}

/// An operator that runs.
pub struct Operator {
    cancel: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    registry: Registry,
}

impl Operator {
    /// Starts one.
    pub fn start(client: Client, settings: Settings) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let seeds = Seeds::new([("2026-01-01".to_owned(), vec![b'x'; 32])]).unwrap();
        let cancel = CancellationToken::new();
        let work = operator::run(client, settings, (seeds, None), metrics, || {}, cancel.clone());
        Self { task: tokio::spawn(work), cancel, registry }
    }

    /// The sum of a figure's values whose labels hold `label`.
    pub fn figure(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let of = families.iter().filter(|f| f.name() == format!("buildbot_status_operator_{name}"));
        of.flat_map(|family| family.get_metric())
            .filter(|metric| {
                label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
            })
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    /// Ends it as a signal does.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends it as kill -9 does.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Whether it ended by itself, and how.
    pub async fn ended(self) -> Result<(), RunError> {
        self.task.await.unwrap()
    }
}

/// What the operator's label is on: kind and name, with the resource version.
pub async fn objects(space: &Space) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (group, kind, plural) in KINDS {
        let version = GroupVersionKind::gvk(group, "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&version, plural);
        let api: kube::Api<DynamicObject> =
            kube::Api::namespaced_with(space.client(), space.name(), &resource);
        let ours =
            ListParams::default().labels("app.kubernetes.io/managed-by=buildbot-status-operator");
        for object in api.list_metadata(&ours).await.unwrap() {
            let name = object.metadata.name.unwrap();
            found.insert(format!("{kind} {name}"), object.metadata.resource_version.unwrap());
        }
    }
    found
}

/// Waits until there are just these objects.
pub async fn until_objects(space: &Space, wanted: &[&str]) {
    let mut last = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        last = objects(space).await.into_keys().collect();
        if last == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited in vain for {wanted:#?}; there is {last:#?}");
}

/// Reason, status and message of a condition.
pub fn condition(object: &serde_json::Value, type_: &str) -> Option<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((text(&found["status"]), text(&found["reason"]), text(&found["message"])))
}
