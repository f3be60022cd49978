//! The CRDs: their files, and what Kubernetes asks of them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use serde_json::Value;

/// Calls `visit` for every schema within one, with its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
    visit(schema, path);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        walk(member, &format!("{path}.{name}"), visit);
    }
    for keyword in ["items", "additionalProperties"] {
        if schema[keyword].is_object() {
            walk(&schema[keyword], &format!("{path}[]"), visit);
        }
    }
}

#[test]
fn files_of_the_definitions_are_what_the_types_say() {
    for definition in crds::definitions().unwrap() {
        let yaml = definition.yaml().unwrap();
        // Helm takes no file from outside of a chart.
        for folder in ["yaml", "../charts/buildbot-status-crds/files"] {
            support::same(&support::file(folder).join(definition.file_name()), &yaml);
        }
    }
}

#[test]
fn every_text_list_and_map_has_a_bound_and_every_field_a_description() {
    for definition in crds::definitions().unwrap() {
        walk(definition.schema(), &definition.kind, &mut |schema, path| {
            let bounded = |keyword: &str| schema[keyword].is_u64();
            let closed = schema["enum"].is_array() || schema["format"] == "date-time";
            match schema["type"].as_str() {
                Some("string") => {
                    assert!(bounded("maxLength") || closed, "{path} has no maxLength");
                }
                Some("array") => assert!(bounded("maxItems"), "{path} has no maxItems"),
                Some("object") if schema["additionalProperties"].is_object() => {
                    assert!(bounded("maxProperties"), "{path} has no maxProperties");
                }
                Some("integer") if !path.ends_with("observedGeneration") => {
                    assert!(schema["maximum"].is_i64(), "{path} has no maximum");
                }
                Some(_) => {}
                None => assert!(bounded("maxLength"), "{path} has no maxLength"),
            }
            let item = path.ends_with("[]");
            let described = schema["description"].as_str().is_some_and(|text| text.ends_with('.'));
            assert!(item || described, "{path} has no description");
        });
    }
}

#[test]
fn k01_no_pattern_has_a_class_that_each_engine_reads_in_another_way() {
    for definition in crds::definitions().unwrap() {
        walk(definition.schema(), &definition.kind, &mut |schema, path| {
            let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
            for text in rules.map(|rule| &rule["rule"]).chain([&schema["pattern"]]) {
                let text = text.as_str().unwrap_or_default();
                // Go has ASCII for these, Rust has Unicode.
                for class in [r"\s", r"\S", r"\d", r"\D", r"\w", r"\W", r"\b", r"\B", r"\p", r"\P"]
                {
                    assert!(!text.contains(class), "{path}: write {class} of {text} out");
                }
            }
        });
    }
}

#[test]
fn every_pattern_compiles_and_every_rule_is_evaluated_somewhere() {
    let mut rules = Vec::new();
    for definition in crds::definitions().unwrap() {
        walk(definition.schema(), &definition.kind, &mut |schema, path| {
            if let Some(pattern) = schema["pattern"].as_str() {
                assert!(regex::Regex::new(pattern).is_ok(), "{path}: {pattern}");
            }
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                assert!(rule["message"].is_string(), "{path}: {rule} has no message");
                // Rules about changes are for an API server; a test with a cluster has their cases.
                if rule["rule"].as_str().unwrap().contains("oldSelf") {
                    continue;
                }
                rules.push(format!("{} {}", definition.kind, rule["message"].as_str().unwrap()));
            }
        });
    }
    let cases = std::fs::read_to_string(support::file("tests/rules.yaml")).unwrap();
    for rule in rules {
        assert!(cases.contains(&format!("rule: {rule:?}")), "no case of the rule {rule:?}");
    }
}
