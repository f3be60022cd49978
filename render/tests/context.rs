//! The context is what its documentation says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use serde_json::Value;
use std::collections::BTreeSet;

/// `steps[].logs[].name` for every field; what is below properties is the users' own.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !at.ends_with("properties") => {
            for (name, value) in fields {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                into.insert(path.clone());
                paths(value, &path, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|v| paths(v, &format!("{at}[]"), into)),
        _ => {}
    }
}

#[test]
fn the_documentation_lists_exactly_the_fields_that_there_are() {
    let mut real = BTreeSet::new();
    paths(&serde_json::to_value(common::context()).unwrap(), "", &mut real);
    // `last_step` is a step like those of `steps`, documented there.
    real.retain(|path| !path.starts_with("last_step."));
    let text = include_str!("../../docs/build-context.md");
    let documented: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(path, _)| path.to_owned())
        .collect();
    assert_eq!(documented, real);
}

#[test]
fn a_build_without_anything_has_nulls_and_empty_lists_and_no_links() {
    let empty = render::BuildContext::new(&model::Build::default(), &render::Site::default());
    let json = serde_json::to_value(&empty).unwrap();
    assert_eq!(json["result"], "running");
    for field in ["url", "main_url", "worker", "previous", "complete_at", "seconds", "last_step"] {
        assert_eq!(json[field], Value::Null, "{field}");
    }
    assert_eq!(json["blamelist"], Value::Array(vec![]));
}
