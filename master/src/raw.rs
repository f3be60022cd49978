//! What Buildbot's API v2 sends, and its translation into the model.
//!
//! Unknown fields are ignored, missing and null ones are their defaults: only keys must be
//! there. Source: <https://docs.buildbot.net/4.3.0/developer/raml/>.

mod builds;
mod farm;
mod sources;

pub(crate) use builds::{PREPARATION, RawBuild, RawLog, RawStep};
pub(crate) use farm::{RawBuilder, RawConfig, RawProject, RawWorker};
pub(crate) use sources::{RawBuildset, RawChange, RawRequest};

use model::{Outcome, Properties, Property, Timestamp};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most bytes of one property's value; a longer one is replaced by a note.
const MAX_PROPERTY: usize = 64 * 1024;

/// Null is the default.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Whole seconds; some sources send fractions.
fn seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(d)?;
    #[allow(clippy::cast_possible_truncation, reason = "float casts saturate")]
    Ok(number.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))).map(Timestamp))
}

/// Properties as `{name: [value, source]}`; anything else of them is left out.
fn properties<'de, D: Deserializer<'de>>(d: D) -> Result<Properties, D::Error> {
    let all = Option::<BTreeMap<String, Value>>::deserialize(d)?.unwrap_or_default();
    Ok(properties_of(all))
}

fn properties_of(all: BTreeMap<String, Value>) -> Properties {
    let one = |(name, value): (String, Value)| {
        let Value::Array(pair) = value else { return None };
        let mut pair = pair.into_iter();
        let value = pair.next()?;
        let source = pair.next().and_then(|s| s.as_str().map(str::to_owned)).unwrap_or_default();
        Some((name, Property(bounded(value), source)))
    };
    Properties(all.into_iter().filter_map(one).collect())
}

/// Cheap for what is common: only strings, lists and maps are measured.
fn bounded(value: Value) -> Value {
    let length = match &value {
        Value::String(text) => text.len(),
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 0,
    };
    if length <= MAX_PROPERTY {
        return value;
    }
    Value::String(format!("({length} bytes, left out)"))
}

/// The outcome of something complete: an unknown code is an exception.
fn outcome(complete: bool, code: Option<i64>) -> Option<Outcome> {
    complete.then(|| code.and_then(Outcome::from_code).unwrap_or(Outcome::Exception))
}

/// A list as `{"builds": [...], "meta": {...}}`: the field's rows. Rows that cannot be read
/// are an error, since a caller would take them for absent.
///
/// # Errors
/// What is wrong with the answer.
pub(crate) fn rows<T: DeserializeOwned>(mut body: Value, field: &str) -> Result<Vec<T>, String> {
    let list = body.get_mut(field).map(Value::take).ok_or_else(|| format!("it has no {field}"))?;
    serde_json::from_value(list).map_err(|e| format!("{field}: {e}"))
}

/// A row's key, if that is a number, and the row or what is wrong with it.
type Read<T> = (Option<u64>, Result<T, String>);

/// The rows of such a list, each by itself.
///
/// # Errors
/// It is no list.
pub(crate) fn each_row<T: DeserializeOwned>(
    mut body: Value,
    field: &str,
    key: &str,
) -> Result<Vec<Read<T>>, String> {
    let list = body.get_mut(field).map(Value::take).ok_or_else(|| format!("it has no {field}"))?;
    let Value::Array(list) = list else { return Err(format!("{field} is no list")) };
    let read = |value: Value| (value.get(key).and_then(Value::as_u64), row(value));
    Ok(list.into_iter().map(read).collect())
}

/// `m` of a frame, or a row.
pub(crate) fn row<T: DeserializeOwned>(body: Value) -> Result<T, String> {
    serde_json::from_value(body).map_err(|e| e.to_string())
}

/// `m` of `builds/N/properties/update`, or the answer of `buildsets/N/properties`.
pub(crate) fn property_map(body: Value) -> Result<Properties, String> {
    row::<BTreeMap<String, Value>>(body).map(properties_of)
}
