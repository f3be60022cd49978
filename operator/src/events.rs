//! Events: what a person should know of a resource, as `kubectl describe` shows it.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

/// Tells Events.
#[derive(Clone)]
pub(crate) struct Events(Recorder);

impl Events {
    /// Told by the operator with this identity.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: crate::MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self(Recorder::new(client, reporter))
    }

    /// Tells of a condition that came to be. An Event that is lost is no harm: the condition stays.
    pub async fn tell(&self, about: &ObjectReference, condition: &Condition) {
        let good = match condition.type_.as_str() {
            "JournalLost" | "EventsMissed" => false,
            "Ready" => condition.status == "True" || condition.reason == "PodsNotReady",
            _ => condition.status == "True",
        };
        let event = Event {
            type_: if good { EventType::Normal } else { EventType::Warning },
            reason: format!("{}{}", prefix(&condition.type_), condition.reason),
            note: Some(condition.message.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            tracing::warn!("an Event could not be told: {error}");
        }
    }
}

/// A reason such as `Down` says more with what it is about.
fn prefix(condition: &str) -> &str {
    match condition {
        "Connected" => "Master",
        "PeerReachable" => "Peer",
        _ => "",
    }
}
