//! Which events are pushed.

use super::Settings;
use crate::About;
use model::{Event, Selection};
use std::collections::BTreeSet;

/// Chooses.
#[derive(Debug)]
pub struct Choice {
    selection: Selection,
    black_list: BTreeSet<String>,
    all: bool,
}

impl Choice {
    pub fn new(settings: &Settings) -> Self {
        let Settings { selection, black_list, all, .. } = settings.clone();
        Self { selection, black_list, all }
    }

    /// Whether an event is pushed. Events of no builder are, whatever builders are selected.
    /// Where builders are selected, an event of a builder that nobody knows is not.
    pub fn wants(&self, event: &Event, about: &About) -> bool {
        match event_name(event) {
            None if !self.all => return false,
            Some(name) if self.black_list.contains(name) => return false,
            _ => {}
        }
        let known = |name: &str, id: Option<model::BuilderId>| {
            let by_id = id.and_then(|id| about.builders.get(&id));
            let builder =
                by_id.or_else(|| about.builders.values().find(|b| b.name.as_str() == name));
            match builder {
                Some(b) => self.selection.builder(b.name.as_str(), &b.tags),
                None => self.selection.builder(name, &[]),
            }
        };
        match event {
            Event::BuildStarted { build } | Event::BuildFinished { build } => {
                self.selection.build(build)
            }
            Event::StepStarted { builder, .. } | Event::StepFinished { builder, .. } => {
                known(builder.as_str(), None)
            }
            Event::RequestSubmitted { request }
            | Event::RequestCancelled { request }
            | Event::RequestCompleted { request } => known("", Some(request.builder)),
            Event::BuilderAdded { builder }
            | Event::BuilderChanged { builder }
            | Event::BuilderRemoved { builder } => {
                self.selection.builder(builder.name.as_str(), &builder.tags)
            }
            _ => true,
        }
    }
}

/// 0.8's name of an event, misspelt ones included; `None` for what 0.8 did not push. The name of a
/// changed worker depends on how it changed; here it is that of its being paused.
pub fn event_name(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::BuildStarted { .. } => "buildStarted",
        Event::BuildFinished { .. } => "buildFinished",
        Event::StepStarted { .. } => "stepStarted",
        Event::StepFinished { .. } => "stepFinished",
        Event::RequestSubmitted { .. } => "requestSubmitted",
        Event::RequestCancelled { .. } => "requestCancelled",
        Event::BuildsetSubmitted { .. } => "buildsetSubmitted",
        Event::ChangeAdded { .. } => "changeAdded",
        Event::WorkerConnected { .. } => "slaveConnected",
        Event::WorkerDisconnected { .. } => "slaveDisconnected",
        Event::WorkerChanged { worker } if worker.paused => "slavePaused",
        Event::WorkerChanged { .. } => "slaveUnpaused",
        Event::BuilderAdded { .. } => "builderAdded",
        Event::BuilderRemoved { .. } => "buildedRemoved",
        Event::RequestCompleted { .. }
        | Event::BuildsetCompleted { .. }
        | Event::BuilderChanged { .. } => return None,
    })
}
