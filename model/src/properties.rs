//! Properties of builds, buildsets and changes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A property's value and who set it; `[value, source]` on the wire, as in Buildbot's API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Property(pub Value, pub String);

/// Properties by name, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Properties(pub BTreeMap<String, Property>);

impl Properties {
    /// The value of a property, if it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|p| &p.0)
    }

    /// The value as text: a string as it is, anything else as JSON. `None` if unset or null.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// The strings of a property that is a string or a list of strings (`owner`, `owners`).
    pub fn strings(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => {
                many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Takes over what `newer` sets; the master sends only what changed.
    pub fn merge(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }
}
