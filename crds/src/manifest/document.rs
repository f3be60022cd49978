//! One document: which kind it is of, and whether it is right.

use super::error::{Mark, Mistake, nearest, quote};
use super::node::{Content, Member, Node};
use super::{Resource, rules, validate};
use crate::secrets::Secret;
use crate::{
    API_VERSION, Definition, GROUP, GerritPush, GitHubStatus, HttpPush, MailNotifier, Master,
    StatusPush, WebStatus, schema,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;
use std::collections::BTreeMap;

/// What a document turned out to be.
pub(crate) enum Found {
    /// One of this program's kinds, right or not; `resource` is missing when it is not.
    Own { id: ObjectId, mark: Mark, node: Node, resource: Option<Box<Resource>> },
    /// A Secret.
    Secret { id: ObjectId, mark: Mark, values: BTreeMap<String, Secret> },
    /// Somebody else's; skipped with a note about why.
    Other { mark: Mark, note: String },
    /// Empty, a ConfigMap, or too wrong to be anything.
    Nothing,
}

/// The namespace of documents that name none, as kubectl has it.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// What names an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

impl ObjectId {
    fn of(kind: &str, node: &Node) -> Self {
        let metadata = node.at(["metadata"]);
        let text = |key, unset: &str| metadata.text(key).unwrap_or(unset).to_owned();
        Self {
            kind: kind.to_owned(),
            namespace: text("namespace", DEFAULT_NAMESPACE),
            name: text("name", ""),
        }
    }
}

/// The documents in one: the items of a `v1 List`, or the document itself.
pub(crate) fn unfold(node: Node) -> Vec<Node> {
    if node.text("apiVersion") == Some("v1") && node.text("kind") == Some("List") {
        let items = node.get("items").map(|member| member.value.content.clone());
        if let Some(Content::List(items)) = items {
            return items;
        }
    }
    vec![node]
}

/// Reads a document and adds its mistakes.
pub(crate) fn read(
    mut node: Node,
    definitions: &[Definition],
    mistakes: &mut Vec<Mistake>,
) -> Found {
    let mark = node.mark;
    if matches!(node.content, Content::Null) {
        return Found::Nothing;
    }
    if !matches!(node.content, Content::Map(_)) {
        let message = "a document is a map with apiVersion, kind, metadata and spec".to_owned();
        mistakes.push(Mistake::new(mark, "", message));
        return Found::Nothing;
    }
    let (Some(version), Some(kind)) =
        (text_field(&node, "apiVersion", mistakes), text_field(&node, "kind", mistakes))
    else {
        return Found::Nothing;
    };
    match (version.as_str(), definitions.iter().find(|d| d.kind == kind)) {
        (API_VERSION, Some(definition)) => {
            let before = mistakes.len();
            let resource = own(&mut node, definition, mistakes);
            let resource = resource.filter(|_| mistakes.len() == before).map(Box::new);
            Found::Own { id: ObjectId::of(&kind, &node), mark, node, resource }
        }
        (API_VERSION, None) => {
            let kinds: Vec<&str> = definitions.iter().map(|d| d.kind.as_str()).collect();
            let hint = match nearest(&kind, kinds.iter().copied()) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("its kinds are {}", kinds.join(", ")),
            };
            let message = format!("{GROUP} has no kind {}; {hint}", quote(&kind));
            mistakes.push(Mistake::new(node.at(["kind"]).mark, "kind", message));
            Found::Nothing
        }
        ("v1", _) if kind == "Secret" => secret(&node, mistakes),
        ("v1", _) if kind == "ConfigMap" => Found::Nothing,
        (version, known) => {
            let group = version.split('/').next().unwrap_or_default();
            if known.is_some() || nearest(group, [GROUP]).is_some() {
                let message = format!("{} is not known; write {API_VERSION}", quote(version));
                mistakes.push(Mistake::new(node.at(["apiVersion"]).mark, "apiVersion", message));
                return Found::Nothing;
            }
            let note = format!("skipped: {kind} of {version} is none of this program's kinds");
            Found::Other { mark, note }
        }
    }
}

fn text_field(node: &Node, name: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let message = match node.get(name).map(|member| &member.value.content) {
        Some(Content::Text(text)) if !text.is_empty() => return Some(text.clone()),
        Some(_) => "must be a text".to_owned(),
        None => format!("the field {name:?} is missing"),
    };
    let field = if node.get(name).is_some() { name } else { "" };
    mistakes.push(Mistake::new(node.at([name]).mark, field, message));
    None
}

/// `metadata`, as far as it matters here. What an API server adds is let through, so that the
/// output of `kubectl get -o yaml` can be read.
fn metadata_schema() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let mut schema = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {
                "type": "string", "minLength": 1, "maxLength": 253, "pattern": schema::OBJECT_NAME,
            },
            "namespace": {
                "type": "string", "minLength": 1, "maxLength": 63, "pattern": schema::OBJECT_NAME,
            },
            "labels": texts,
            "annotations": texts,
        },
    });
    for added in [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "generateName",
        "selfLink",
    ] {
        schema["properties"][added] = Value::Bool(true);
    }
    schema
}

fn own(node: &mut Node, definition: &Definition, mistakes: &mut Vec<Mistake>) -> Option<Resource> {
    validate::drop_nulls(node);
    let mut schema = definition.schema().clone();
    schema["required"] = json!(["metadata", "spec"]);
    schema["properties"]["apiVersion"] = Value::Bool(true);
    schema["properties"]["kind"] = Value::Bool(true);
    schema["properties"]["metadata"] = metadata_schema();
    // An operator's report is not read back.
    schema["properties"]["status"] = Value::Bool(true);
    validate::fill_defaults(node, &schema);
    let before = mistakes.len();
    validate::check(node, &schema, "", mistakes);
    if mistakes.len() == before {
        rules::check(node, &schema, "", mistakes);
    }
    if mistakes.len() > before {
        return None;
    }
    let value = node.to_json();
    let resource = match definition.kind.as_str() {
        "Master" => typed::<Master>(value).map(Resource::Master),
        "WebStatus" => typed::<WebStatus>(value).map(Resource::WebStatus),
        "MailNotifier" => typed::<MailNotifier>(value).map(Resource::MailNotifier),
        "HttpPush" => typed::<HttpPush>(value).map(Resource::HttpPush),
        "GerritPush" => typed::<GerritPush>(value).map(Resource::GerritPush),
        "GitHubStatus" => typed::<GitHubStatus>(value).map(Resource::GitHubStatus),
        _ => typed::<StatusPush>(value).map(Resource::StatusPush),
    };
    resource
        .map_err(|error| {
            let (path, field) = place(error.path());
            let mark = node.at(path.iter().map(String::as_str)).mark;
            mistakes.push(Mistake::new(mark, field, error.inner().to_string()));
        })
        .ok()
}

fn typed<T: DeserializeOwned>(
    value: Value,
) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(value)
}

fn place(path: &serde_path_to_error::Path) -> (Vec<String>, String) {
    let (mut steps, mut field) = (Vec::new(), String::new());
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                steps.push(index.to_string());
                field.push_str(&format!("[{index}]"));
            }
            Segment::Map { key } => {
                steps.push(key.clone());
                field = validate::join(&field, key);
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (steps, field)
}

/// A `v1 Secret`. Messages never hold its values.
fn secret(node: &Node, mistakes: &mut Vec<Mistake>) -> Found {
    let mark = node.mark;
    let metadata = node.at(["metadata"]);
    if node.get("metadata").is_none() || metadata.text("name").is_none_or(str::is_empty) {
        let message = "the field \"name\" is missing".to_owned();
        mistakes.push(Mistake::new(metadata.mark, "metadata", message));
    }
    // An API server writes stringData over data, whichever stands first.
    let (mut values, mut plain) = (BTreeMap::new(), BTreeMap::new());
    let known = ["apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData"];
    let Content::Map(members) = &node.content else { return Found::Nothing };
    for member in members {
        match (member.key.as_str(), &member.value.content) {
            ("data" | "stringData", Content::Map(entries)) => {
                let into = if member.key == "data" { &mut values } else { &mut plain };
                for entry in entries {
                    match secret_value(&member.key, entry) {
                        Ok(value) => drop(into.insert(entry.key.clone(), value)),
                        Err(mistake) => mistakes.push(mistake),
                    }
                }
            }
            ("data" | "stringData", Content::Null) => {}
            ("data" | "stringData", _) => {
                let message = "must be a map of texts".to_owned();
                mistakes.push(Mistake::new(member.value.mark, &member.key, message));
            }
            (name, _) if known.contains(&name) => {}
            (name, _) => mistakes.push(validate::unknown(member, name, &known)),
        }
    }
    values.append(&mut plain);
    Found::Secret { id: ObjectId::of("Secret", node), mark, values }
}

fn secret_value(field: &str, entry: &Member) -> Result<Secret, Mistake> {
    let say = |message: &str| {
        Mistake::new(entry.value.mark, validate::join(field, &entry.key), message.to_owned())
    };
    let Content::Text(text) = &entry.value.content else {
        return Err(say("must be a text; write it in quotes"));
    };
    if field == "stringData" {
        return Ok(Secret::new(text.as_str()));
    }
    let packed: String = text.split_ascii_whitespace().collect();
    STANDARD
        .decode(packed)
        .map(Secret::new)
        .map_err(|_| say("is no base64; plain text goes into stringData"))
}
