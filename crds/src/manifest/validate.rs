//! A document against its kind's schema, as an API server does it: nulls are dropped, defaults
//! filled in, then everything is compared. Beyond an API server, every message says what would
//! be right, and unknown fields are mistakes.

use super::error::{Mistake, nearest, quote};
use super::node::{Content, Member, Node};
use crate::schema;
use regex::Regex;
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

/// Drops members that are null: without `nullable` they mean "unset".
pub(crate) fn drop_nulls(node: &mut Node) {
    match &mut node.content {
        Content::Map(members) => {
            members.retain(|member| !matches!(member.value.content, Content::Null));
            members.iter_mut().for_each(|member| drop_nulls(&mut member.value));
        }
        Content::List(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Fills in the schema's defaults, in the objects that are there.
pub(crate) fn fill_defaults(node: &mut Node, schema: &Value) {
    let mark = node.mark;
    match &mut node.content {
        Content::Map(members) => {
            for (name, schema) in properties(schema) {
                let default = &schema["default"];
                if !default.is_null() && !members.iter().any(|m| m.key == *name) {
                    let value = Node::from_json(mark, default);
                    members.push(Member { key: name.clone(), mark, value });
                }
            }
            for member in members {
                let schema = member_schema(schema, &member.key);
                fill_defaults(&mut member.value, schema);
            }
        }
        Content::List(items) => {
            items.iter_mut().for_each(|item| fill_defaults(item, &schema["items"]));
        }
        _ => {}
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flat_map(Map::iter)
}

/// The schema of an object's member; `Null` when there is none.
pub(crate) fn member_schema<'a>(schema: &'a Value, name: &str) -> &'a Value {
    match &schema["properties"][name] {
        Value::Null => &schema["additionalProperties"],
        known => known,
    }
}

/// Adds to `mistakes` whatever a node breaks of its schema.
pub(crate) fn check(node: &Node, schema: &Value, path: &str, mistakes: &mut Vec<Mistake>) {
    let mut say = |message: String| mistakes.push(Mistake::new(node.mark, path, message));
    if *schema == Value::Bool(true) {
        return; // anything
    }
    // What Kubernetes defines is checked by an API server alone.
    let passed_on =
        schema["x-kubernetes-preserve-unknown-fields"] == true && !schema["properties"].is_object();
    if let Some(message) = wrong_type(node, schema) {
        return say(message);
    }
    match &node.content {
        Content::Text(text) => texts(text, schema, &mut say),
        Content::Int(number) => {
            if let Some(least) = schema["minimum"].as_i64().filter(|least| number < least) {
                say(format!("must be at least {least}, but is {number}"));
            }
            if let Some(most) = schema["maximum"].as_i64().filter(|most| number > most) {
                say(format!("must be at most {most}, but is {number}"));
            }
        }
        Content::List(items) => {
            count(items.len(), schema, ["minItems", "maxItems"], ["item", "items"], &mut say);
            for (index, item) in items.iter().enumerate() {
                check(item, &schema["items"], &format!("{path}[{index}]"), mistakes);
            }
        }
        Content::Map(_) if passed_on => {}
        Content::Map(members) => map(node, members, schema, path, mistakes),
        Content::Null | Content::Bool(_) | Content::Float(_) => {}
    }
}

/// What a field of a type is called, with its article.
fn type_words(schema: &Value) -> &'static str {
    match schema["type"].as_str() {
        Some("string") => "a text",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        Some("array") => "a list",
        Some("object") => "a map of fields",
        _ if schema["x-kubernetes-int-or-string"] == true => "a whole number or a text",
        _ if takes_booleans(schema) => "true, false or a list",
        _ if schema["items"].is_object() => "a list or a text",
        _ => "a map of fields or a text",
    }
}

/// Of a list or something else: whether that is a boolean.
pub(crate) fn takes_booleans(schema: &Value) -> bool {
    schema["items"].is_object() && schema["maxLength"] == 0
}

fn type_fits(content: &Content, schema: &Value) -> bool {
    let Some(wanted) = schema["type"].as_str() else {
        // Two forms: the schema's keywords say which.
        return match content {
            Content::Text(_) => schema["maxLength"] != 0,
            Content::Bool(_) => takes_booleans(schema),
            Content::Int(_) => schema["x-kubernetes-int-or-string"] == true,
            Content::List(_) => schema["items"].is_object(),
            Content::Map(_) => schema["properties"].is_object(),
            _ => false,
        };
    };
    matches!(
        (wanted, content),
        ("string", Content::Text(_))
            | ("integer" | "number", Content::Int(_))
            | ("number", Content::Float(_))
            | ("boolean", Content::Bool(_))
            | ("array", Content::List(_))
            | ("object", Content::Map(_))
    )
}

fn wrong_type(node: &Node, schema: &Value) -> Option<String> {
    if type_fits(&node.content, schema) {
        return None;
    }
    let wanted = type_words(schema);
    let given = match &node.content {
        Content::Null => "empty".to_owned(),
        Content::Bool(value) => value.to_string(),
        Content::Int(value) => format!("the number {value}"),
        Content::Float(value) => format!("the number {value}"),
        Content::Text(text) => format!("the text {}", quote(text)),
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a map of fields".to_owned(),
    };
    let hint = match (&node.content, schema["type"].as_str()) {
        (Content::Text(text), Some("integer" | "number")) if text.parse::<i64>().is_ok() => {
            format!("; write {text} without quotes")
        }
        (Content::Text(text), Some("boolean"))
            if matches!(text.to_lowercase().as_str(), "true" | "false" | "yes" | "no") =>
        {
            format!("; write {} without quotes", text.to_lowercase())
        }
        (Content::Bool(_) | Content::Int(_) | Content::Float(_), Some("string")) => {
            "; write it in quotes".to_owned()
        }
        (Content::Text(_), Some("array")) => "; write [VALUE, …]".to_owned(),
        (Content::Text(text), None) if schema["items"].is_object() => format!("; write [{text}]"),
        _ => String::new(),
    };
    Some(format!("must be {wanted}, but is {given}{hint}"))
}

fn texts(text: &str, schema: &Value, say: &mut impl FnMut(String)) {
    let length = text.chars().count();
    let plural = |n: u64| if n == 1 { "1 character".to_owned() } else { format!("{n} characters") };
    let bound = |keyword: &str| schema[keyword].as_u64();
    if let Some(most) = bound("maxLength").filter(|most| length as u64 > *most) {
        return say(format!("must have at most {}, but has {length}", plural(most)));
    }
    if text.is_empty() && bound("minLength").is_some_and(|least| least > 0) {
        return say("must not be empty".to_owned());
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        if !words.contains(&text) {
            let hint = meant(text, &words);
            // A long list would hide the hint.
            let known = if hint.is_empty() || words.len() <= 8 {
                format!("is not one of {}", words.join(", "))
            } else {
                "is not known".to_owned()
            };
            say(format!("{} {known}{hint}", quote(text)));
        }
        return;
    }
    let Some(pattern) = schema["pattern"].as_str() else {
        return short(length, schema, say);
    };
    if matches(pattern, text) {
        return short(length, schema, say);
    }
    // A text where a list or a text may stand: the list's words help.
    if let Some(words) = schema::alternatives(pattern) {
        let listed: Vec<&str> = schema["items"]["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let all: Vec<&str> = words.split('|').chain(listed.iter().copied()).collect();
        let hint = if listed.contains(&text) {
            format!("; a list of one is written [{text}]")
        } else {
            meant(text, &all)
        };
        return say(format!("{} is not one of {}{hint}", quote(text), words.replace('|', ", ")));
    }
    let wanted = schema::words(pattern)
        .map_or_else(|| format!("text that matches {pattern}"), ToOwned::to_owned);
    say(format!("{} is no {wanted}", quote(text)));
}

fn short(length: usize, schema: &Value, say: &mut impl FnMut(String)) {
    if let Some(least) = schema["minLength"].as_u64().filter(|least| (length as u64) < *least) {
        say(format!("must have at least {least} characters, but has {length}"));
    }
}

fn meant(text: &str, words: &[&str]) -> String {
    nearest(text, words.iter().copied())
        .map(|word| format!("; did you mean {word:?}?"))
        .unwrap_or_default()
}

fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<String, Option<Regex>>>> =
        LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).ok())
        .as_ref()
        // Every pattern compiles, as a test shows.
        .is_none_or(|regex| regex.is_match(text))
}

fn count(
    number: usize,
    schema: &Value,
    [least, most]: [&str; 2],
    [one, many]: [&str; 2],
    say: &mut impl FnMut(String),
) {
    let noun = |n: u64| if n == 1 { one } else { many };
    if let Some(least) = schema[least].as_u64().filter(|least| (number as u64) < *least) {
        say(format!("must have at least {least} {}, but has {number}", noun(least)));
    }
    if let Some(most) = schema[most].as_u64().filter(|most| number as u64 > *most) {
        say(format!("must have at most {most} {}, but has {number}", noun(most)));
    }
}

fn map(node: &Node, members: &[Member], schema: &Value, path: &str, mistakes: &mut Vec<Mistake>) {
    let mut say = |message: String| mistakes.push(Mistake::new(node.mark, path, message));
    let bounds = ["minProperties", "maxProperties"];
    count(members.len(), schema, bounds, ["entry", "entries"], &mut say);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if node.get(name).is_none() {
            say(format!("the field {name:?} is missing"));
        }
    }
    for member in members {
        let path = join(path, &member.key);
        let known = member_schema(schema, &member.key);
        if !known.is_null() {
            check(&member.value, known, &path, mistakes);
        } else if schema["properties"].is_object() {
            let mut names: Vec<&str> = properties(schema).map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            mistakes.push(unknown(member, &path, &names));
        }
    }
}

/// An unknown field, with the nearest known one or all of them.
pub(crate) fn unknown(member: &Member, path: &str, known: &[&str]) -> Mistake {
    let hint = match nearest(&member.key, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("known here: {}", known.join(", ")),
    };
    Mistake::new(member.mark, path, format!("unknown field; {hint}"))
}

/// The path of a member; a name that would be unclear stands in brackets.
pub(crate) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{}]", quote(name)),
    }
}
