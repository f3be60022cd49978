//! A value of a manifest, and the place where it stands in the file.

use super::error::{Mark, quote};
use super::validate::join;
use serde_json::Value;

/// What a node weighs beside its text.
const NODE_WEIGHT: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub mark: Mark,
    pub content: Content,
    /// Bytes of it and of all below, about.
    pub weight: usize,
    /// Levels of collections below it.
    pub height: usize,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub key: String,
    pub mark: Mark,
    pub value: Node,
}

impl Node {
    pub(crate) fn new(mark: Mark, content: Content) -> Self {
        let (weight, height) = match &content {
            Content::Text(text) => (text.len(), 0),
            Content::List(items) => (
                items.iter().map(|node| node.weight).sum(),
                items.iter().map(|node| node.height + 1).max().unwrap_or(1),
            ),
            Content::Map(members) => (
                members.iter().map(|m| m.key.len() + m.value.weight).sum(),
                members.iter().map(|m| m.value.height + 1).max().unwrap_or(1),
            ),
            _ => (0, 0),
        };
        Self { mark, content, weight: weight + NODE_WEIGHT, height }
    }

    /// A value without a place of its own, such as a default.
    pub(crate) fn from_json(mark: Mark, value: &Value) -> Self {
        let content = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(*value),
            Value::Number(number) => number
                .as_i64()
                .map_or_else(|| Content::Float(number.as_f64().unwrap_or(f64::NAN)), Content::Int),
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => {
                Content::List(items.iter().map(|item| Self::from_json(mark, item)).collect())
            }
            Value::Object(members) => Content::Map(
                members
                    .iter()
                    .map(|(key, value)| Member {
                        key: key.clone(),
                        mark,
                        value: Self::from_json(mark, value),
                    })
                    .collect(),
            ),
        };
        Self::new(mark, content)
    }

    /// The value alone.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => (*value).into(),
            Content::Int(value) => (*value).into(),
            Content::Float(value) => (*value).into(),
            Content::Text(text) => text.clone().into(),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(members) => {
                members.iter().map(|m| (m.key.clone(), m.value.to_json())).collect()
            }
        }
    }

    /// Whether nothing is there.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.content, Content::Null)
    }

    /// A member of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Member> {
        match &self.content {
            Content::Map(members) => members.iter().find(|member| member.key == key),
            _ => None,
        }
    }

    /// A text member of a map.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The node at a path such as `spec`, `tls`, and how much of the path exists.
    pub(crate) fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> &Self {
        let mut node = self;
        for step in path {
            let next = match &node.content {
                Content::List(items) => step.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => node.get(step).map(|member| &member.value),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The node of a field as messages write it, `spec.mode[2]`, or of as much of it as is there.
    pub(crate) fn field(&self, field: &str) -> &Self {
        let (mut node, mut rest) = (self, field);
        loop {
            let next = match &node.content {
                Content::Map(members) => {
                    members.iter().find_map(|Member { key, value, .. }| {
                        let quoted = || after(rest, &format!("[{}]", quote(key)));
                        Some((value, after(rest, &join("", key)).or_else(quoted)?))
                    })
                }
                Content::List(items) => items
                    .iter()
                    .enumerate()
                    .find_map(|(at, item)| Some((item, after(rest, &format!("[{at}]"))?))),
                _ => None,
            };
            let Some((inner, left)) = next else { return node };
            (node, rest) = (inner, left);
        }
    }
}

/// What is left of a field behind one of its steps.
fn after<'a>(field: &'a str, step: &str) -> Option<&'a str> {
    let rest = field.strip_prefix('.').unwrap_or(field).strip_prefix(step)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use crate::manifest::tree::documents;

    #[test]
    fn a_field_of_a_message_is_found_or_what_holds_it() {
        let text = "spec:\n  mode:\n  - failing\n  - [x]\n  headers: {X-A: 1, a b: 2}\n  mod: 3\n";
        let (documents, _) = documents(text);
        for (field, place) in [
            ("", (1, 1)),
            ("spec.mode[0]", (3, 5)),
            ("spec.mode[1][0]", (4, 6)),
            ("spec.mode[7]", (3, 5)),
            ("spec.headers.X-A", (5, 18)),
            ("spec.headers[\"X-A\"]", (5, 18)),
            ("spec.headers[\"a b\"].value", (5, 26)),
            ("spec.mod", (6, 8)),
            ("spec.nosuch", (2, 3)),
        ] {
            let mark = documents[0].field(field).mark;
            assert_eq!((mark.line, mark.column), place, "{field}");
        }
    }
}
