//! What all targets have in common.

use super::{Kind, Manifest};
use crate::{
    KeyError,
    children::{
        self, Child, FEED_PORT, Means, NetworkRules, PodPlan, config_map, deployment,
        network_policy, pod_monitor, service_account, token_secret,
    },
    names,
    reconcile::{Around, Figures, Problem},
};
use crds::{Egress, MasterRef, PodSettings, TargetStatus};
use feed::http::token::Right;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use serde_json::{Value, json};

/// What a target's pods are to be.
pub(crate) struct TargetPods<'a> {
    /// The spec, as pods read it.
    pub spec: Value,
    /// The resource's settings of pods.
    pub pod: Option<&'a PodSettings>,
    /// Where the peer may be.
    pub egress: Option<&'a Egress>,
    /// The peer's port, for targets that send.
    pub peer: Option<u16>,
    /// The image of a program that the pod runs, where it runs one.
    pub program: Option<&'a str>,
    /// The port of pages.
    pub port: Option<u16>,
    /// How many pods; `None`: an autoscaler says.
    pub replicas: Option<u32>,
    /// What the token is good for.
    pub rights: &'a [Right],
    /// Requests and limits, unless the resource says others.
    pub resources: Value,
}

impl<'a> TargetPods<'a> {
    /// One pod that sends to a peer at this port, if it is known.
    pub fn sending(
        spec: &impl Serialize,
        (pod, egress): (Option<&'a PodSettings>, Option<&'a Egress>),
        peer: Option<u16>,
    ) -> Self {
        Self {
            spec: json(spec),
            pod,
            egress,
            peer,
            program: None,
            port: None,
            replicas: Some(1),
            rights: &[Right::Read, Right::Consume],
            resources: small(),
        }
    }
}

/// A kind of target that sends: one pod with a place in the journal.
pub(crate) trait Sender: Manifest {
    /// See [`Kind::COMPONENT`].
    const COMPONENT: &'static str;
    /// See [`Kind::KIND`].
    const KIND: &'static str;

    /// The Master that it tells about.
    fn master(&self) -> &MasterRef;

    /// What was said of it before.
    fn said(&self) -> Option<&TargetStatus>;

    /// Its pod.
    fn pods(&self) -> TargetPods<'_>;

    /// See [`Kind::problems`].
    fn faults(&self) -> Vec<Problem> {
        Vec::new()
    }
}

impl<T: Sender> Kind for T {
    const COMPONENT: &'static str = <T as Sender>::COMPONENT;
    const KIND: &'static str = <T as Sender>::KIND;
    const SENDS: bool = true;

    fn master_ref(&self) -> Option<&MasterRef> {
        Some(self.master())
    }

    fn problems(&self) -> Vec<Problem> {
        self.faults()
    }

    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, KeyError> {
        target_children(self, &self.pods(), around, means)
    }

    fn conditions(&self) -> &[Condition] {
        self.said().map_or(&[], |status| &status.conditions)
    }

    fn present_status(&self) -> Value {
        json(&self.said())
    }

    fn status(&self, conditions: &[Condition], _: &Around, figures: Option<&Figures>) -> Value {
        target_status(self, conditions, figures, self.said())
    }
}

/// The objects of a target; none without a Master, for there is no feed then.
pub(super) fn target_children<K: Kind>(
    resource: &K,
    pods: &TargetPods<'_>,
    around: &Around,
    means: &Means<'_>,
) -> Result<Vec<Child>, KeyError> {
    let Some(master) = &around.master else { return Ok(Vec::new()) };
    let parent = resource.parent();
    let consumer = resource.consumer(&master.namespace).unwrap_or_default();
    let token = means.seeds.token(&master.uid, &consumer, K::KIND, pods.rights)?;
    let manifest = children::manifest(&parent, &pods.spec);
    let sends = pods.port.is_none();
    let plan = PodPlan {
        parent: &parent,
        settings: means.settings,
        pod: pods.pod,
        manifest: &manifest,
        secrets: &around.secrets,
        feed: Some(feed_url(&master.namespace, &master.name)),
        pages: around.pages.as_deref().filter(|_| sends),
        program: pods.program,
        port: pods.port.map(|port| ("http", port)),
        resources: pods.resources.clone(),
    };
    let mut children = vec![
        service_account(&parent),
        token_secret(&parent, &token),
        config_map(&parent, &manifest),
        deployment(&plan, pods.replicas, !sends),
    ];
    if means.settings.network_policies {
        let rules = NetworkRules {
            open: pods.port.into_iter().collect(),
            feed: Some((master.namespace.clone(), master.name.clone())),
            peer: pods.peer,
            cidrs: pods.egress.map(|egress| egress.cidrs.clone()).unwrap_or_default(),
            traces: means.settings.trace_port(),
            ..NetworkRules::default()
        };
        children.push(network_policy(&parent, &rules));
    }
    if means.has(children::ChildKind::PodMonitor) {
        children.push(pod_monitor(&parent, &means.settings.pod_monitor_labels));
    }
    Ok(children)
}

/// Where a master's feed is reached in the cluster.
pub(crate) fn feed_url(namespace: &str, name: &str) -> String {
    format!("http://{}.{namespace}.svc:{FEED_PORT}/", names::child("feed", name))
}

/// What a target that sends usually needs: it holds some records and templates.
fn small() -> Value {
    json!({
        "requests": { "cpu": "10m", "memory": "32Mi" },
        "limits": { "memory": "128Mi" },
    })
}

/// The status of a target that sends.
fn target_status<K: Kind>(
    resource: &K,
    conditions: &[Condition],
    figures: Option<&Figures>,
    before: Option<&TargetStatus>,
) -> Value {
    // Figures that are not known now are what they were.
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = resource.meta().generation;
    status.conditions = conditions.to_vec();
    if let Some(consumer) = figures.and_then(|figures| figures.consumer.as_ref()) {
        let number = |n: u64| i64::try_from(n).ok();
        status.delivered = number(consumer.delivered);
        status.failed = number(consumer.failed);
        status.dead_letters = number(consumer.dead_letters);
        status.backlog = number(consumer.backlog);
        status.last_delivered = consumer.last_delivered_ms.and_then(time).or(status.last_delivered);
    }
    json(&status)
}

/// Milliseconds since 1970 UTC as Kubernetes writes times: whole seconds.
fn time(ms: i64) -> Option<String> {
    jiff::Timestamp::from_second(ms.div_euclid(1000)).ok().map(|time| time.to_string())
}

/// A struct of texts, numbers and lists is JSON.
pub(super) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
