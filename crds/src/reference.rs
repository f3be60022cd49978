//! The reference pages in `docs/reference/`: one a kind, made from its definition.

use crate::{API_VERSION, Definition, DefinitionError, definitions};
use serde_json::Value;
use std::fmt::Write;

/// Every kind's reference page, as the name of its file and its Markdown.
///
/// # Errors
/// None in practice, see [`DefinitionError`].
pub fn reference() -> Result<Vec<(String, String)>, DefinitionError> {
    let pages = definitions()?;
    Ok(pages.iter().map(|d| (format!("{}.md", d.kind.to_lowercase()), page(d))).collect())
}

/// A field as the page shows it.
struct Row {
    path: String,
    kind: String,
    default: String,
    text: String,
}

fn page(definition: &Definition) -> String {
    let Definition { kind, json, .. } = definition;
    let schema = definition.schema();
    let names = &json["spec"]["names"];
    let short = names["shortNames"][0].as_str().unwrap_or_default();
    let file = kind.to_lowercase();
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line("<!-- Made from the types in crds/src/kinds: UPDATE_GENERATED=1 cargo test -p crds -->");
    line(&format!("# {kind}\n"));
    line(&format!("{}\n", schema["description"].as_str().unwrap_or_default()));
    line(&format!(
        "`apiVersion: {API_VERSION}`, `kind: {kind}`; with kubectl `{}` or `{short}`. Examples: \
         [the shortest](../examples/minimal/{file}.yaml), \
         [every field](../examples/full/{file}.yaml).\n",
        names["plural"].as_str().unwrap_or_default()
    ));
    line("Fields of `spec`; those in **bold** must be given.\n");
    line("| field | value | default | what it does |\n|---|---|---|---|");
    let mut rows = Vec::new();
    fields(&schema["properties"]["spec"], "", &mut rows);
    for Row { path, kind, default, text } in rows {
        line(&format!("| {path} | {kind} | {default} | {text} |"));
    }
    let rules = rules(&schema["properties"]["spec"], "");
    if !rules.is_empty() {
        line("\nBeyond that:\n");
        rules.iter().for_each(|rule| line(&format!("- {rule}")));
    }
    out
}

/// The rows of an object's members and of what is below them, required ones first.
fn fields(schema: &Value, path: &str, rows: &mut Vec<Row>) {
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name))
    };
    let mut members: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    members.sort_by_key(|(name, _)| !required(name));
    for (name, member) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let shown = if required(name) { format!("**`{path}`**") } else { format!("`{path}`") };
        rows.push(Row {
            path: shown,
            kind: cell(&value(member)),
            default: default(&member["default"]),
            text: cell(member["description"].as_str().unwrap_or_default()),
        });
        fields(member, &path, rows);
        fields(&member["items"], &format!("{path}[]"), rows);
        let each = &member["additionalProperties"];
        if each["properties"].is_object() {
            fields(each, &format!("{path}.NAME"), rows);
        }
    }
}

/// A bar would end a cell of the table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn default(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(members) if !members.is_empty() => "see below".to_owned(),
        other => format!("`{}`", cell(&other.to_string())),
    }
}

/// What a field takes, in words, with its bounds.
fn value(schema: &Value) -> String {
    let bound = |keyword: &str| schema[keyword].as_i64();
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("`{}`", text(word))).collect();
        return words.join(", ");
    }
    let length =
        bound("maxLength").map_or(String::new(), |most| format!(", up to {most} characters"));
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    match schema["type"].as_str() {
        Some("string") if pattern == crate::values::duration::PATTERN => {
            "length of time, such as `90s`".to_owned()
        }
        Some("string") => format!("text{length}"),
        Some("integer") => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("number, {least} to {most}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => list(schema),
        Some("object") if schema["additionalProperties"].is_object() => {
            let each = &schema["additionalProperties"];
            let each =
                if each["properties"].is_object() { "see below".into() } else { value(each) };
            format!("map of up to {}: {each}", schema["maxProperties"])
        }
        Some("object") if schema["x-kubernetes-preserve-unknown-fields"] == true => {
            "as Kubernetes has it".to_owned()
        }
        Some("object") => "see below".to_owned(),
        _ if pattern == crate::values::size::PATTERN => "size, such as `512Mi`".to_owned(),
        _ if pattern == crate::strports::PATTERN => "port or text".to_owned(),
        _ if crate::manifest::takes_booleans(schema) => {
            format!("`true`, `false` or a {}", list(schema))
        }
        _ if schema["items"].is_object() => {
            let words = crate::schema::alternatives(pattern).unwrap_or_default();
            format!("list of {}; or `{}`", value(&schema["items"]), words.replace('|', "`, `"))
        }
        _ => "text, or see below".to_owned(),
    }
}

fn list(schema: &Value) -> String {
    format!("list of up to {}: {}", schema["maxItems"], value(&schema["items"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The messages of a schema's rules, each with the field that it is about.
fn rules(schema: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let mut line = String::new();
        if !path.is_empty() {
            // Writing to a String can't fail.
            let _ = write!(line, "`{path}`: ");
        }
        line.push_str(text(&rule["message"]));
        line.push('.');
        found.push(line);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.extend(rules(member, &path));
    }
    found
}
