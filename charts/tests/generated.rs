//! What is generated or copied is up to date, and what is said twice is said alike.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use support::{CHARTS, chart, names, read, same, yaml};

#[test]
fn readmes_list_all_values_with_defaults_and_comments() {
    for name in CHARTS {
        let readme = chart(name).join("README.md");
        let wanted = charts::with_table(&read(&readme), &read(&chart(name).join("values.yaml")));
        same(&readme, &wanted.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

#[test]
fn a_value_without_a_comment_is_refused_by_its_name() {
    let error = charts::values_table("log:\n  # A level.\n  level: info\n  format: json\n");
    assert!(error.unwrap_err().to_string().contains("log.format has no comment"));
}

#[test]
fn charts_have_the_programs_version() {
    for name in CHARTS {
        let about = yaml(&read(&chart(name).join("Chart.yaml")));
        assert_eq!(about["version"], env!("CARGO_PKG_VERSION"), "{name}");
        assert_eq!(about["appVersion"], env!("CARGO_PKG_VERSION"), "{name}");
    }
}

#[test]
fn alert_rules_of_the_chart_are_those_of_the_documentation() {
    let (docs, files) = (support::repository("docs/alerts"), chart(CHARTS[1]).join("files"));
    let rules = |names: BTreeSet<String>| -> BTreeSet<String> {
        names.into_iter().filter(|name| name.ends_with(".rules.yaml")).collect()
    };
    for name in rules(names(&docs)) {
        same(&files.join(&name), &read(&docs.join(&name)));
    }
    assert_eq!(rules(names(&docs)), rules(names(&files)));
    assert_eq!(rules(names(&docs)).len(), 2);
}

#[test]
fn the_chart_of_definitions_has_every_kind_once_and_says_so() {
    let files = chart(CHARTS[0]).join("files");
    assert_eq!(names(&files), names(&support::repository("crds/yaml")), "run cargo xtask generate");
    let said: Value = yaml(&read(&chart(CHARTS[0]).join("Chart.yaml")));
    let said = yaml(said["annotations"]["artifacthub.io/crds"].as_str().unwrap());
    let said: BTreeSet<_> = said.as_array().unwrap().iter().map(|crd| text(&crd["name"])).collect();
    assert_eq!(said, definitions().into_iter().map(|crd| text(&crd["metadata"]["name"])).collect());
}

#[test]
fn the_operator_may_act_upon_every_kind() {
    let values = yaml(&read(&chart(CHARTS[1]).join("values.yaml")));
    let listed: BTreeSet<_> =
        values["rbac"]["kinds"].as_array().unwrap().iter().map(text).collect();
    let plurals = definitions().into_iter().map(|crd| text(&crd["spec"]["names"]["plural"]));
    assert_eq!(listed, plurals.collect(), "rbac.kinds of values.yaml");
}

#[test]
fn schemas_know_every_value_and_no_others() {
    for name in CHARTS {
        let schema: Value =
            serde_json::from_str(&read(&chart(name).join("values.schema.json"))).unwrap();
        let values = yaml(&read(&chart(name).join("values.yaml")));
        compare(&schema, &values, name);
    }
}

/// Objects of the schema that name their members are closed, and name those of the values.
fn compare(schema: &Value, values: &Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], Value::Bool(false), "{path}");
    let known: BTreeSet<_> = properties.keys().filter(|key| *key != "global").collect();
    let given: BTreeSet<_> = values.as_object().unwrap().keys().collect();
    assert_eq!(known, given, "{path}");
    for key in known {
        compare(&properties[key], &values[key], &format!("{path}.{key}"));
    }
}

fn definitions() -> Vec<Value> {
    let folder = support::repository("crds/yaml");
    names(&folder).iter().map(|name| yaml(&read(&folder.join(name)))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
