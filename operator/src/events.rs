//! Events: what a person should know of a resource, as `kubectl describe` shows it.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::sync::{Mutex, PoisonError};

/// What was told is kept for some minutes, so that the same is told as one series. After so many
/// that is given up: thousands of resources that come up together need no series.
const KEPT: u32 = 256;

/// Tells Events.
pub(crate) struct Events {
    client: Client,
    reporter: Reporter,
    /// What keeps what was told, and how much that is.
    recorder: Mutex<(Recorder, u32)>,
}

impl Events {
    /// Told by the operator with this identity.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: crate::MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self { client, reporter, recorder: Mutex::new((recorder, 0)) }
    }

    fn recorder(&self) -> Recorder {
        let mut kept = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1 += 1;
        if kept.1 > KEPT {
            *kept = (Recorder::new(self.client.clone(), self.reporter.clone()), 1);
        }
        kept.0.clone()
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
            reason: reason(condition),
            note: Some(condition.message.chars().take(1000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder().publish(&event, about).await {
            tracing::warn!("an Event could not be told: {error}");
        }
    }
}

/// A reason such as `Down` or `Volume` says more with what it is about.
fn reason(condition: &Condition) -> String {
    match condition.type_.as_str() {
        "Connected" => format!("Master{}", condition.reason),
        "PeerReachable" => format!("Peer{}", condition.reason),
        "JournalLost" => condition.type_.clone(),
        _ => condition.reason.clone(),
    }
}
