//! What documents say about each other: names that must be there, and things that only one may
//! have.

use super::document::{DEFAULT_NAMESPACE, ObjectId};
use super::error::{ManifestError, Mark, nearest};
use super::node::{Content, Node};
use super::validate::join;
use super::{Document, Resource};
use crate::secrets::{SecretError, SecretSource};
use crate::{Listen, SecretKeyRef};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

/// The Master that a document names, whatever else is wrong with the document.
pub(crate) struct Wanted {
    file: PathBuf,
    mark: Mark,
    namespace: String,
    name: String,
}

impl Wanted {
    /// Of a document of a namespace.
    pub fn of(file: &Path, namespace: &str, node: &Node) -> Option<Self> {
        let reference = node.at(["spec", "masterRef"]);
        let (name, file) = (reference.text("name")?.to_owned(), file.to_owned());
        let mark = reference.at(["name"]).mark;
        let namespace = reference.text("namespace").unwrap_or(namespace).to_owned();
        Some(Self { file, mark, namespace, name })
    }
}

/// Whether the Master that each target names is among `declared`, which holds wrong ones too:
/// their own mistakes are enough.
pub(crate) fn masters(wanted: Vec<Wanted>, declared: &[ObjectId]) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for Wanted { file, mark, namespace, name: wanted } in wanted {
        let names: Vec<&str> = declared
            .iter()
            .filter(|id| id.kind == "Master" && id.namespace == namespace)
            .map(|id| id.name.as_str())
            .collect();
        if names.contains(&wanted.as_str()) {
            continue;
        }
        let hint = match (nearest(&wanted, names.iter().copied()), names.len()) {
            (Some(name), _) => format!("; did you mean {name:?}?"),
            (None, 0) => "; add a document of kind Master".to_owned(),
            (None, _) => format!("; there is {}", names.join(", ")),
        };
        let place = match namespace.as_str() {
            DEFAULT_NAMESPACE => String::new(),
            namespace => format!(" in the namespace {namespace:?}"),
        };
        let message = format!("no document is the Master {wanted:?}{place}{hint}");
        let field = "spec.masterRef.name".to_owned();
        let (line, column) = (mark.line, mark.column);
        errors.push(ManifestError { file, line, column, field, message });
    }
    errors
}

/// Whether every Secret that a document names can be had.
pub(crate) fn secrets(documents: &[Document], secrets: &SecretSource) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for Document { source, .. } in documents {
        let spec = source.node().at(["spec"]);
        visit(spec, &mut vec!["spec".to_owned()], &mut |path, reference| {
            let Err(error) = secrets.get(reference) else { return };
            let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
            match error {
                SecretError::NoSecret { .. } | SecretError::BadName(_) => path.push("name"),
                _ => path.push("key"),
            }
            let field = field(&path);
            errors.push(ManifestError { field, ..source.error(&path, error.to_string()) });
        });
    }
    errors
}

/// A path as messages write it: `spec.headers[1].valueSecretRef`.
fn field(path: &[&str]) -> String {
    path.iter().fold(String::new(), |field, step| match step.parse::<usize>() {
        Ok(index) => format!("{field}[{index}]"),
        Err(_) => join(&field, step),
    })
}

/// Calls `found` for every member whose name ends in `SecretRef`, and each item of one that ends in
/// `SecretRefs`.
fn visit(node: &Node, path: &mut Vec<String>, found: &mut impl FnMut(&[String], &SecretKeyRef)) {
    let reference = path.iter().rev().find(|step| step.parse::<usize>().is_err());
    if reference.is_some_and(|name| name.ends_with("SecretRef") || name.ends_with("SecretRefs"))
        && let Ok(reference) = serde_json::from_value(node.to_json())
    {
        return found(path, &reference);
    }
    let inner: Vec<(String, &Node)> = match &node.content {
        Content::Map(members) => members.iter().map(|m| (m.key.clone(), &m.value)).collect(),
        Content::List(items) => {
            items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect()
        }
        _ => return,
    };
    for (step, value) in inner {
        path.push(step);
        visit(value, path, found);
        path.pop();
    }
}

/// Two WebStatus on one port: in one process only the first could listen. One that is suspended
/// does not listen.
pub(crate) fn ports(documents: &[Document]) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    let mut taken: Vec<(&Listen, &Document)> = Vec::new();
    for document in documents {
        let Resource::WebStatus(page) = &document.resource else { continue };
        if page.spec.suspend {
            continue;
        }
        let listen = &page.spec.http_port;
        match taken.iter().find(|(other, _)| collide(other, listen)) {
            Some((_, other)) => {
                let message = format!(
                    "{listen} is taken by the WebStatus {:?} ({}:{})",
                    other.resource.name(),
                    other.file.display(),
                    other.line
                );
                errors.push(document.source.error(&["spec", "httpPort"], message));
            }
            None => taken.push((listen, document)),
        }
    }
    errors
}

fn collide(a: &Listen, b: &Listen) -> bool {
    match (a, b) {
        (Listen::Tcp { port: a, interface: i }, Listen::Tcp { port: b, interface: j }) => {
            *a != 0 && a == b && overlap(*i, *j)
        }
        (Listen::Unix { path: a, .. }, Listen::Unix { path: b, .. }) => a == b,
        _ => false,
    }
}

/// Whether one of two interfaces takes connections of the other. `::`, which is listened on where
/// no interface is given, takes those to IPv4 addresses too; `0.0.0.0` takes these only.
fn overlap(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let (six, four) = (IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let (a, b) = (a.unwrap_or(six), b.unwrap_or(six));
    a == b || [a, b].contains(&six) || (a.is_ipv4() && b.is_ipv4() && [a, b].contains(&four))
}

/// Patterns of regular expressions that a schema can't check.
pub(crate) fn patterns(documents: &[Document]) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    for Document { resource, source, .. } in documents {
        let Resource::WebStatus(page) = resource else { continue };
        for (project, link) in &page.spec.changecommentlink {
            let Err(error) = regex::Regex::new(&link.pattern) else { continue };
            let path = ["spec", "changecommentlink", project.as_str(), "pattern"];
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let mut found = source.error(&path, format!("is no regular expression: {reason}"));
            found.field = path[1..].iter().fold("spec".to_owned(), |path, step| join(&path, step));
            errors.push(found);
        }
    }
    errors
}

/// Whether a name is there twice; remembers it. A Secret's name must be unique in all namespaces:
/// one process has one set of secrets.
pub(crate) fn twice(
    seen: &mut HashMap<ObjectId, String>,
    id: &ObjectId,
    place: String,
) -> Option<String> {
    if id.name.is_empty() {
        return None;
    }
    let other = seen
        .iter()
        .find(|(other, _)| id.kind == "Secret" && other.kind == id.kind && other.name == id.name);
    let first = seen.get(id).or(other.map(|(_, place)| place)).map(|first| {
        format!("there is a {} {:?} already, in {first}; give one another name", id.kind, id.name)
    });
    seen.entry(id.clone()).or_insert(place);
    first
}
