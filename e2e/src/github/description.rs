//! GitHub's own description of its API, and whether requests and answers are as it says.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const FILE: &str = include_str!("../../peers/github/openapi.json");

/// The description.
#[derive(Debug)]
pub struct Description(Value);

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    /// As the description has it: `/repos/{owner}/…`.
    pub path: String,
    /// What stands for the names in it, decoded.
    pub named: BTreeMap<String, String>,
    method: String,
}

impl Description {
    /// Reads it.
    pub fn read() -> Self {
        let mut all: Value = serde_json::from_str(FILE).unwrap();
        nullable(&mut all);
        Self(all)
    }

    /// The operation of a request.
    pub fn find(&self, method: &str, path: &str) -> Option<Operation> {
        let method = method.to_lowercase();
        let given: Vec<&str> = path.split('/').collect();
        self.0["paths"].as_object().unwrap().iter().find_map(|(template, methods)| {
            let parts: Vec<&str> = template.split('/').collect();
            if parts.len() != given.len() || methods.get(&method).is_none() {
                return None;
            }
            let mut named = BTreeMap::new();
            for (part, given) in parts.iter().zip(&given) {
                match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(name) => {
                        let text = percent_encoding::percent_decode_str(given);
                        named.insert(name.to_owned(), text.decode_utf8().ok()?.into_owned());
                    }
                    None if part != given => return None,
                    None => {}
                }
            }
            Some(Operation { path: template.clone(), named, method: method.clone() })
        })
    }

    fn operation(&self, operation: &Operation) -> &Value {
        &self.0["paths"][&operation.path][&operation.method]
    }

    /// What is wrong with a request.
    pub fn request(
        &self,
        operation: &Operation,
        query: &BTreeMap<String, String>,
        body: Option<&Value>,
    ) -> Vec<String> {
        let described = self.operation(operation);
        let mut wrong = Vec::new();
        let parameters = described["parameters"].as_array().into_iter().flatten();
        let parameters: Vec<&Value> = parameters.map(|p| self.resolved(p)).collect();
        let known = |place: &str, name: &str| {
            parameters.iter().find(|p| p["in"] == place && p["name"] == name)
        };
        let given = operation.named.iter().map(|(name, text)| ("path", name, text));
        for (place, name, text) in given.chain(query.iter().map(|(n, t)| ("query", n, t))) {
            match known(place, name) {
                None => wrong.push(format!("{place} {name:?} is not described")),
                Some(parameter) => {
                    let number = text.parse::<i64>().map(Value::from);
                    let text = Value::from(text.as_str());
                    let value = match parameter["schema"]["type"].as_str() {
                        Some("integer") => number.unwrap_or(text),
                        _ => text,
                    };
                    wrong.extend(self.errors(&parameter["schema"], &value));
                }
            }
        }
        match (&described["requestBody"], body) {
            (Value::Null, None) => {}
            (Value::Null, Some(_)) => wrong.push("a body where none is described".to_owned()),
            (wanted, None) if wanted["required"] == true => wrong.push("no body".to_owned()),
            (_, None) => {}
            (wanted, Some(body)) => {
                let schema = &wanted["content"]["application/json"]["schema"];
                wrong.extend(self.errors(schema, body));
                // The description is open, but what it does not name is not read.
                let unknown = body.as_object().into_iter().flatten();
                let unknown = unknown.filter(|(name, _)| schema["properties"].get(*name).is_none());
                wrong.extend(unknown.map(|(name, _)| format!("field {name:?} is not described")));
            }
        }
        wrong
    }

    /// What is wrong with an answer that is a success. GitHub describes few of the others.
    pub fn answer(&self, operation: &Operation, status: u16, body: &Value) -> Vec<String> {
        let described = &self.operation(operation)["responses"][status.to_string()];
        match &self.resolved(described)["content"]["application/json"]["schema"] {
            Value::Null => vec![format!("the answer {status} is not described")],
            schema => self.errors(schema, body),
        }
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
            Some(place) => self.0.pointer(place).unwrap(),
            None => value,
        }
    }

    fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": self.0["components"],
        });
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors = validator.iter_errors(value);
        errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}

/// `nullable` of OpenAPI 3.0, as JSON Schema says it.
fn nullable(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(nullable);
            if members.remove("nullable") == Some(Value::Bool(true)) {
                let other = Value::Object(std::mem::take(members));
                *members =
                    Map::from_iter([("anyOf".to_owned(), json!([other, { "type": "null" }]))]);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(nullable),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Description;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// A status that GitHub itself took and answered.
    const RECORDED: &str = include_str!("../../peers/github/recorded-status.json");

    #[test]
    fn what_github_was_recorded_to_take_and_answer_is_as_it_describes() {
        let description = Description::read();
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let operation = description.find("POST", recorded["path"].as_str().unwrap()).unwrap();
        assert_eq!(operation.named["repo"], "create-status");
        let none = BTreeMap::new();
        let wrong = description.request(&operation, &none, Some(&recorded["body"]));
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(
            description.answer(&operation, 201, &recorded["response"]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_is_not_as_described_is_named() {
        let description = Description::read();
        let status = description.find("POST", "/repos/a/b/statuses/c").unwrap();
        let none = BTreeMap::new();
        let wrong = |body: Value| description.request(&status, &none, Some(&body)).join("; ");
        assert!(wrong(json!({ "state": "running" })).contains("running"));
        assert!(wrong(json!({})).contains("state"));
        assert!(wrong(json!({ "state": "error", "contxt": "a" })).contains("contxt"));
        assert_eq!(wrong(json!({ "state": "error", "description": null })), "");
        assert!(description.request(&status, &none, None).join("").contains("no body"));
        assert!(!description.answer(&status, 201, &json!({ "id": 1 })).is_empty());
        assert!(description.answer(&status, 200, &json!({}))[0].contains("not described"));

        let runs = description.find("GET", "/repos/a/b/commits/c%2Fd/check-runs").unwrap();
        assert_eq!(runs.named["ref"], "c/d");
        let query = |name: &str, value: &str| {
            let query = [(name.to_owned(), value.to_owned())].into();
            description.request(&runs, &query, None).join("; ")
        };
        assert_eq!(query("filter", "all"), "");
        assert!(query("filter", "some").contains("some"));
        assert!(query("per_page", "many").contains("many"));
        assert!(query("name", "x").contains("not described"));
        assert!(description.find("GET", "/repos/a/b/statuses/c").is_none());
    }
}
