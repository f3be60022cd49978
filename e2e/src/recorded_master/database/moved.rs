//! Recorded rows under this database's keys and clock.

use super::{super::tape::Tape, Database, TIMES, Turn};
use serde_json::{Map, Value};

/// How a key names what it belongs to, in rows of other resources.
const REFERENCES: [(&str, &str); 10] = [
    ("buildid", "builds"),
    ("parent_buildid", "builds"),
    ("rebuilt_buildid", "builds"),
    ("buildrequestid", "buildrequests"),
    ("bsid", "buildsets"),
    ("buildsetid", "buildsets"),
    ("stepid", "steps"),
    ("logid", "logs"),
    ("changeid", "changes"),
    ("ssid", "sourcestamps"),
];
impl Database {
    /// A row with its keys and times moved.
    pub(super) fn moved(&mut self, value: &Value, turn: Turn, tape: &Tape) -> Value {
        let Some(fields) = value.as_object() else { return value.clone() };
        let mut moved = Map::new();
        for (name, value) in fields {
            let reference = REFERENCES.iter().find(|(field, _)| field == name);
            let value = match (reference, value) {
                (Some((_, of)), Value::Number(id)) => {
                    self.key(of, turn, id.as_u64().unwrap(), tape).into()
                }
                (None, Value::Number(at)) if TIMES.contains(&name.as_str()) => {
                    self.moved_time(at.as_f64().unwrap()).into()
                }
                (None, Value::Object(_)) if name == "sourcestamp" => {
                    let stamp = self.moved(value, turn, tape);
                    self.keep_stamp(&stamp)
                }
                (None, Value::Array(stamps)) if name == "sourcestamps" => {
                    let stamps: Vec<Value> = stamps
                        .iter()
                        .map(|stamp| {
                            let stamp = self.moved(stamp, turn, tape);
                            self.keep_stamp(&stamp)
                        })
                        .collect();
                    stamps.into()
                }
                (None, Value::Array(parents)) if name == "parent_changeids" => {
                    let parents = parents.iter().filter_map(Value::as_u64);
                    parents.map(|id| self.key("changes", turn, id, tape)).collect::<Vec<_>>().into()
                }
                _ => value.clone(),
            };
            moved.insert(name.clone(), value);
        }
        moved.into()
    }

    #[allow(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    fn moved_time(&self, at: f64) -> i64 {
        (at + self.shift).floor() as i64
    }

    fn keep_stamp(&mut self, stamp: &Value) -> Value {
        let key = stamp["ssid"].as_u64().unwrap();
        self.tables.entry("sourcestamps").or_default().entry(key).or_insert(stamp.clone()).clone()
    }

    /// Properties with the build's own number in them.
    pub(super) fn moved_properties(&self, properties: &Value, build: u64) -> Map<String, Value> {
        let mut properties = properties.as_object().cloned().unwrap_or_default();
        if let Some(number) = properties.get_mut("buildnumber") {
            number[0] = self.tables["builds"][&build]["number"].clone();
        }
        properties
    }
}
