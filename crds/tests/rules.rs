//! The table of rule cases, run through the reader of manifests.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use crds::manifest::{LoadOptions, load};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Case {
    rule: String,
    valid: Vec<Value>,
    invalid: Vec<Value>,
}

/// What the reader says of a spec.
fn say(kind: &str, spec: &Value) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let document = |kind: &str, name: &str, spec: &Value| {
        json!({
            "apiVersion": crds::API_VERSION,
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    };
    let master = document("Master", "main", &json!({"url": "http://localhost:8010/"}));
    let case = document(kind, "case", spec);
    let file = folder.path().join("case.yaml");
    std::fs::write(&file, format!("{master}\n---\n{case}\n")).unwrap();
    let options = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    match load(&[file], &options) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

#[test]
fn every_rule_refuses_what_it_should_and_nothing_else() {
    let text = std::fs::read_to_string(support::file("tests/rules.yaml")).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    for Case { rule, valid, invalid } in cases {
        let (kind, message) = rule.split_once(' ').unwrap();
        assert!(!valid.is_empty() && !invalid.is_empty(), "{rule}");
        for spec in valid {
            assert_eq!(say(kind, &spec), Vec::<String>::new(), "{kind} {spec}");
        }
        for spec in invalid {
            assert_eq!(say(kind, &spec), [message], "{kind} {spec}");
        }
    }
}

#[test]
fn m03_builders_and_categories_together_are_refused_when_applied() {
    let both = json!({
        "masterRef": {"name": "main"},
        "fromaddr": "buildbot@localhost",
        "builders": ["linux"],
        "categories": ["release"],
    });
    assert_eq!(say("MailNotifier", &both), ["set either builders or categories, not both"]);
}
