//! The CustomResourceDefinitions, made from the types.

use crate::{HttpPush, MailNotifier, Master, WebStatus};
use kube::CustomResourceExt;
use serde_json::Value;

/// One kind's CustomResourceDefinition.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The kind, such as `Master`.
    pub kind: String,
    /// The definition's name, such as `masters.statustargets.dev`.
    pub name: String,
    /// The definition as an API server takes it.
    pub json: Value,
}

impl Definition {
    fn new<K: CustomResourceExt>() -> Result<Self, serde_json::Error> {
        let mut json = serde_json::to_value(K::crd())?;
        tidy(&mut json);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            kind: text(&json["spec"]["names"]["kind"]),
            name: text(&json["metadata"]["name"]),
            json,
        })
    }

    /// The schema of the kind's documents.
    pub fn schema(&self) -> &Value {
        &self.json["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }
}

/// Removes what says nothing to an API server or makes it warn: formats that only Rust knows,
/// fractions of whole numbers, line ends within a paragraph, and `nullable`. A `null` without
/// `nullable` is dropped before defaults are applied, so it means "unset" everywhere.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let rust_only = |format: &str| format.starts_with("uint");
            if members.get("format").and_then(Value::as_str).is_some_and(rust_only) {
                members.remove("format");
            }
            if members.get("nullable") == Some(&Value::Bool(true)) {
                members.remove("nullable");
            }
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = paragraphs(text);
            }
            for bound in ["minimum", "maximum"] {
                if let Some(whole) = members.get(bound).and_then(Value::as_f64).and_then(whole) {
                    members.insert(bound.to_owned(), whole.into());
                }
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// One line a paragraph.
fn paragraphs(text: &str) -> String {
    let joined: Vec<_> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
    joined.join("\n\n")
}

/// The integer that a number is, if it is one and exactly.
fn whole(number: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // bounded in the same line
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// Every kind's definition, in the order in which they are documented.
///
/// # Errors
/// None in practice: the types serialise to JSON, as tests show.
pub fn definitions() -> Result<Vec<Definition>, serde_json::Error> {
    Ok(vec![
        Definition::new::<Master>()?,
        Definition::new::<WebStatus>()?,
        Definition::new::<MailNotifier>()?,
        Definition::new::<HttpPush>()?,
    ])
}
