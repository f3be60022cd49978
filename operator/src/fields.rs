//! Whether what was applied is still so, read off an object's `managedFields`.
//!
//! Whoever changes or removes a field that was applied takes it out of the applier's set (KEP-555,
//! "structured merge and diff"). So the operator's objects need not be read to see drift: their
//! metadata says it.

use serde_json::{Map, Value};

/// Whether `owned`, a `fieldsV1`, holds every field of `wanted`, as it was sent.
pub fn owns(owned: &Value, wanted: &Value) -> bool {
    let Some(members) = wanted.as_object() else { return false };
    // What names an object is owned by nobody.
    let unowned = |key: &str| matches!(key, "apiVersion" | "kind");
    members.iter().filter(|(key, _)| !unowned(key)).all(|(key, value)| match key.as_str() {
        "metadata" => value.as_object().is_some_and(|metadata| {
            let named = |key: &str| matches!(key, "name" | "namespace");
            let owned = &owned["f:metadata"];
            metadata
                .iter()
                .filter(|(key, _)| !named(key))
                .all(|(key, value)| field(owned, key, value))
        }),
        _ => field(owned, key, value),
    })
}

/// Whether a member of a map is owned.
fn field(owned: &Value, key: &str, wanted: &Value) -> bool {
    match owned.get(format!("f:{key}")) {
        Some(owned) => within(owned, wanted),
        // Fields that are dropped when they are empty are owned by nobody.
        None => empty(wanted),
    }
}

/// Whether what is in a value is owned, where that is told one by one.
fn within(owned: &Value, wanted: &Value) -> bool {
    let Some(set) = owned.as_object() else { return true };
    if set.is_empty() {
        // A scalar, or a list or map that is owned as a whole.
        return true;
    }
    match wanted {
        Value::Object(members) => members.iter().all(|(key, value)| field(owned, key, value)),
        Value::Array(items) => items.iter().all(|item| element(set, item)),
        _ => true,
    }
}

/// Whether an element of a list is owned: by its keys (`k:{"name":"x"}`) or by its value (`v:"x"`).
fn element(set: &Map<String, Value>, wanted: &Value) -> bool {
    set.iter().any(|(key, owned)| {
        if let Some(value) = key.strip_prefix("v:") {
            return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *wanted);
        }
        let Some(keys) = key.strip_prefix("k:") else { return false };
        let Ok(Value::Object(keys)) = serde_json::from_str(keys) else { return false };
        // A key that was not sent was filled in by the server, such as a port's protocol.
        let fits = keys.iter().all(|(key, value)| wanted.get(key).is_none_or(|sent| sent == value));
        fits && within(owned, wanted)
    })
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::owns;
    use serde_json::json;

    fn wanted() -> serde_json::Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "x", "namespace": "y", "labels": {"a": "1"},
                         "ownerReferences": [{"uid": "u", "name": "o"}]},
            "spec": {"replicas": 1, "template": {"spec": {
                "containers": [{"name": "c", "args": ["a", "b"],
                                "ports": [{"name": "http", "containerPort": 80}]}],
                "imagePullSecrets": [], "nodeSelector": {}, "serviceAccountName": "s",
            }}},
        })
    }

    fn owned() -> serde_json::Value {
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:serviceAccountName": {}, "f:containers": {
                "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:args": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                        {".": {}, "f:name": {}, "f:containerPort": {}}}},
            }}}},
        })
    }

    #[test]
    fn what_was_applied_is_owned() {
        assert!(owns(&owned(), &wanted()));
    }

    #[test]
    fn a_field_that_somebody_changed_or_removed_is_not() {
        for (path, field) in [
            ("/f:metadata/f:labels", "f:a"),
            ("/f:spec", "f:replicas"),
            ("/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"c\"}", "f:args"),
            ("/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"c\"}", "f:ports"),
            ("/f:spec/f:template/f:spec", "f:containers"),
            ("/f:metadata", "f:ownerReferences"),
        ] {
            let mut owned = owned();
            // `/` within a key would be escaped; there is none.
            let map = owned.pointer_mut(path).and_then(|value| value.as_object_mut());
            assert!(map.is_some_and(|map| map.remove(field).is_some()), "{path} {field}");
            assert!(!owns(&owned, &wanted()), "{path} {field}");
        }
    }
}
