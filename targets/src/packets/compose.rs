//! Packets as 0.8 made them: `id, timestamp, started, project, event, payload`.

use super::{Settings, as_dict, decide::event_name};
use crate::About;
use model::{BuilderId, Event, Record, Timestamp, WorkerId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is kept from record to record: where the packets' numbers go on, and what is needed to
/// tell a change from a repetition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The number of the next packet, from 1.
    next_id: u64,
    /// When the first packet was made, as packets say it; empty before.
    started: String,
    /// Builds that run, by builder.
    #[serde(default)]
    running: BTreeMap<BuilderId, u32>,
    /// Workers that are paused.
    #[serde(default)]
    paused: BTreeSet<WorkerId>,
}

impl State {
    /// From what [`Self::save`] made; the beginning if there is nothing.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn load(bytes: Option<&[u8]>) -> Result<Self, String> {
        match bytes {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
            None => Ok(Self {
                next_id: 1,
                started: String::new(),
                running: BTreeMap::new(),
                paused: BTreeSet::new(),
            }),
        }
    }

    /// As bytes for the journal.
    pub fn save(&self) -> Vec<u8> {
        // A struct of numbers and texts with keys that are numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The packets of one record, each as JSON text; none if it changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets(Vec<String>);

impl Packets {
    /// The JSON texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Makes packets from events.
#[derive(Debug)]
pub struct Composer {
    filter: bool,
    debug: bool,
    black_list: BTreeSet<String>,
}

impl Composer {
    pub fn new(settings: &Settings) -> Self {
        let Settings { filter, debug, black_list, .. } = settings.clone();
        Self { filter, debug, black_list }
    }

    /// The packets of a record, numbered on from the state.
    pub fn packets(&self, state: &mut State, record: &Record, about: &About) -> Packets {
        let at = timestamp(record.journaled_ms);
        let mut events = Vec::new();
        if state.started.is_empty() {
            state.started.clone_from(&at);
            events.push(("start", as_dict::start(about)));
        }
        events.extend(events_of(state, &record.event, about));
        events.retain(|(name, _)| !self.black_list.contains(*name));
        let packets = events.into_iter().map(|(event, payload)| {
            let id = state.next_id;
            state.next_id = id.saturating_add(1);
            self.text(id, &at, &state.started, about, event, payload)
        });
        Packets(packets.collect())
    }

    /// The packets of an event alone, indented for people.
    pub fn readable(
        &self,
        event: &Event,
        when: Option<Timestamp>,
        about: &About,
    ) -> Vec<(String, String)> {
        let at = timestamp(when.unwrap_or_default().0.saturating_mul(1000));
        let payload = event_name(event).map(|name| (name, as_dict::payload(event, about)));
        let composer = Self { filter: self.filter, debug: true, black_list: BTreeSet::new() };
        payload
            .into_iter()
            .map(|(name, payload)| {
                (name.to_owned(), composer.text(1, &at, &at, about, name, payload))
            })
            .collect()
    }

    fn text(
        &self,
        id: u64,
        at: &str,
        started: &str,
        about: &About,
        event: &str,
        payload: Value,
    ) -> String {
        let payload = if self.filter { filtered(payload) } else { payload };
        let payload = if payload.is_object() { payload } else { json!({}) };
        let packet = json!({
            "id": id,
            "timestamp": at,
            "started": started,
            "project": about.site.title,
            "event": event,
            "payload": payload,
        });
        if self.debug { format!("{packet:#}") } else { packet.to_string() }
    }
}

/// 0.8's events for one of ours: the event itself, and how its builder's state changes with it.
fn events_of(state: &mut State, event: &Event, about: &About) -> Vec<(&'static str, Value)> {
    let Some(name) = event_name(event) else { return Vec::new() };
    let mut events = vec![(name, as_dict::payload(event, about))];
    let changed = |name: &model::BuilderName, state: &str| {
        ("builderChangedState", json!({ "builderName": name.as_str(), "state": state }))
    };
    match event {
        Event::BuildStarted { build } => {
            let running = state.running.entry(build.builder.id).or_default();
            *running = running.saturating_add(1);
            if *running == 1 {
                events.push(changed(&build.builder.name, "building"));
            }
        }
        Event::BuildFinished { build } => {
            if let Some(running) = state.running.get_mut(&build.builder.id) {
                *running = running.saturating_sub(1);
                if *running == 0 {
                    state.running.remove(&build.builder.id);
                    events.push(changed(&build.builder.name, "idle"));
                }
            }
        }
        Event::BuilderAdded { builder } => events.push(changed(&builder.name, "idle")),
        Event::BuilderRemoved { builder } => {
            state.running.remove(&builder.id);
        }
        Event::WorkerChanged { worker } => {
            let before = state.paused.contains(&worker.id);
            if worker.paused {
                state.paused.insert(worker.id);
            } else {
                state.paused.remove(&worker.id);
            }
            if before == worker.paused {
                events.clear();
            }
        }
        _ => {}
    }
    events
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` in UTC, as Python's `str(datetime.utcnow())`.
fn timestamp(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
        Err(_) => String::new(),
    }
}

/// Without `""`, null, false, 0, `[]` and `{}`: 0.8's filter, part of the wire format. A
/// list keeps its places, unless all of them are empty.
fn filtered(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().map(|(name, value)| (name, filtered(value)));
            Value::Object(kept.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().map(filtered).collect();
            Value::Array(if items.iter().all(is_empty) { Vec::new() } else { items })
        }
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::{filtered, timestamp};
    use serde_json::json;

    #[test]
    fn g07_the_filter_drops_what_is_empty_and_zero_too() {
        let value = json!({
            "number": 0, "step_number": 1, "blame": [], "text": ["", null], "times": [1, null],
            "results": [0, []], "hidden": false, "deep": { "a": { "b": "" } }, "name": "x",
        });
        let expected = json!({ "step_number": 1, "times": [1, null], "name": "x" });
        assert_eq!(filtered(value), expected);
    }

    #[test]
    fn g07_timestamps_are_pythons() {
        assert_eq!(timestamp(1_795_412_378_042), "2026-11-23 05:39:38.042000");
    }
}
