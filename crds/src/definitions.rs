//! The CustomResourceDefinitions, made from the types.

use crate::{GerritPush, GitHubStatus, HttpPush, MailNotifier, Master, StatusPush, WebStatus};
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

/// Why a type has no definition. Tests show that every type has one.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The type's schema is no JSON.
    #[error("a definition can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The definition can't be written as YAML.
    #[error("a definition can't be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl Definition {
    fn new<K: CustomResourceExt>() -> Result<Self, DefinitionError> {
        let mut json = serde_json::to_value(K::crd())?;
        tidy(&mut json);
        // Whatever features of serde_json other crates switch on, the files stay the same.
        json.sort_all_objects();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            kind: text(&json["spec"]["names"]["kind"]),
            name: text(&json["metadata"]["name"]),
            json,
        })
    }

    /// The definition as a YAML document.
    ///
    /// # Errors
    /// None in practice, see [`DefinitionError`].
    pub fn yaml(&self) -> Result<String, DefinitionError> {
        let options = serde_saphyr::ser_options! {
            compact_list_indent: true,
            prefer_block_scalars: false,
        };
        Ok(serde_saphyr::to_string_with_options(&self.json, options)?)
    }

    /// The name of its file in `crds/yaml/`.
    pub fn file_name(&self) -> String {
        format!("{}.yaml", self.kind.to_lowercase())
    }

    /// The schema of the kind's documents.
    pub fn schema(&self) -> &Value {
        &self.json["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    }
}

/// Removes what says nothing to an API server or makes it warn: formats that only Rust knows,
/// fractions of whole numbers, line ends within a paragraph, and `nullable` with its null. A `null` without
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
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
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
/// None in practice, see [`DefinitionError`].
pub fn definitions() -> Result<Vec<Definition>, DefinitionError> {
    Ok(vec![
        Definition::new::<Master>()?,
        Definition::new::<WebStatus>()?,
        Definition::new::<MailNotifier>()?,
        Definition::new::<HttpPush>()?,
        Definition::new::<StatusPush>()?,
        Definition::new::<GerritPush>()?,
        Definition::new::<GitHubStatus>()?,
    ])
}

/// The definitions as one YAML file, for `kubectl apply -f -`.
///
/// # Errors
/// None in practice, see [`DefinitionError`].
pub fn yaml() -> Result<String, DefinitionError> {
    let documents: Result<Vec<_>, _> = definitions()?.iter().map(Definition::yaml).collect();
    Ok(documents?.join("---\n"))
}
