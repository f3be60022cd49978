//! What the operator is started with.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Settings of an operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image of feed and target pods: this program's.
    pub image: String,
    /// When the image is pulled; Kubernetes' default if unset.
    pub image_pull_policy: Option<String>,
    /// Secrets for pulling it, in the resources' namespaces.
    pub image_pull_secrets: Vec<String>,
    /// Namespaces whose resources are reconciled; empty: all.
    pub namespaces: BTreeSet<String>,
    /// Whether Secrets' metadata is watched, so that pods are rolled when one changes and missing
    /// ones are named. To Kubernetes that is the right to read them.
    pub watch_secrets: bool,
    /// Whether NetworkPolicies are made.
    pub network_policies: bool,
    /// Whether StorageClasses are watched, to name a missing one.
    pub storage_classes: bool,
    /// Whether IngressClasses are watched, to name a missing one.
    pub ingress_classes: bool,
    /// Labels of PodMonitors, by which a Prometheus chooses them.
    pub pod_monitor_labels: BTreeMap<String, String>,
    /// Where pods send their traces, if anywhere.
    pub pod_otlp_endpoint: Option<String>,
    /// Where feeds are reached from outside the cluster, with `{namespace}` and `{name}` of the
    /// Master in it; by their Services if unset.
    pub feeds_at: Option<String>,
    /// How many resources of a kind are reconciled at a time.
    pub concurrency: u16,
    /// How often a feed is asked for its consumers' figures while all is well.
    pub figures_every: Duration,
    /// The shortest time between two writes of a status that only differ in figures.
    pub figures_written_every: Duration,
    /// How often it is asked which kinds there are of those that not every cluster has. When one of
    /// them is gone, that is noticed at once.
    pub kinds_asked_every: Duration,
    /// Leader election; `None`: this is the only operator.
    pub lease: Option<LeaseSettings>,
    /// This pod's name: the holder's identity, and the source of Events.
    pub identity: String,
}

/// Leader election.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The Lease's name.
    pub name: String,
    /// Its namespace: the operator's own.
    pub namespace: String,
    /// For how long a holder that says nothing holds it. At least three seconds.
    pub duration: Duration,
}

impl Settings {
    /// Settings with everything but the image at its default.
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            namespaces: BTreeSet::new(),
            watch_secrets: true,
            network_policies: true,
            storage_classes: true,
            ingress_classes: true,
            pod_monitor_labels: BTreeMap::new(),
            pod_otlp_endpoint: None,
            feeds_at: None,
            concurrency: 16,
            figures_every: Duration::from_secs(30),
            figures_written_every: Duration::from_secs(60),
            kinds_asked_every: Duration::from_secs(300),
            lease: None,
            identity: "buildbot-status-operator".to_owned(),
        }
    }

    /// Whether resources of a namespace are reconciled.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}
