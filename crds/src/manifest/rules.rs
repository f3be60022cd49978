//! The schemas' CEL rules (`x-kubernetes-validations`), evaluated as an API server does it. They
//! are read from the same JSON that becomes the CRD, so there is one source of rules. Rules that
//! compare with `oldSelf` are about changes of a resource and need a cluster.

use super::error::Mistake;
use super::node::{Content, Node};
use super::validate::{join, member_schema};
use crate::values::size;
use cel::{Context, ExecutionError, Program, Value as Cel, extractors::This, objects::Key};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// A rule that can't be evaluated: a fault of this program, not of a manifest.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the rule {rule:?} can't be evaluated: {reason}")]
struct RuleError {
    rule: String,
    reason: String,
}

/// Adds to `mistakes` every rule that a node or what is below it breaks.
pub(crate) fn check(node: &Node, schema: &Value, path: &str, mistakes: &mut Vec<Mistake>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["rule"].as_str().unwrap_or_default();
        if text.contains("oldSelf") {
            continue;
        }
        let message = match holds(text, node) {
            Ok(true) => continue,
            Ok(false) => rule["message"].as_str().unwrap_or(text).to_owned(),
            Err(error) => error.to_string(),
        };
        let field = rule["fieldPath"].as_str().unwrap_or_default().trim_start_matches('.');
        let (mark, path) = match node.get(field) {
            Some(member) => (member.mark, join(path, field)),
            None => (node.mark, path.to_owned()),
        };
        mistakes.push(Mistake::new(mark, path, message));
    }
    match &node.content {
        Content::Map(members) => {
            for member in members {
                let schema = member_schema(schema, &member.key);
                check(&member.value, schema, &join(path, &member.key), mistakes);
            }
        }
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                check(item, &schema["items"], &format!("{path}[{index}]"), mistakes);
            }
        }
        _ => {}
    }
}

/// Whether a rule holds for a node.
fn holds(rule: &str, node: &Node) -> Result<bool, RuleError> {
    let error = |reason: String| RuleError { rule: rule.to_owned(), reason };
    let program = compiled(rule).map_err(error)?;
    let mut context = Context::default();
    // Of an API server's quantities the rules use these two, for sizes.
    context.add_function("quantity", quantity).map_err(|e| error(e.to_string()))?;
    context.add_function("compareTo", compare_to).map_err(|e| error(e.to_string()))?;
    context.add_variable_from_value("self", to_cel(node));
    match program.execute(&context) {
        Ok(Cel::Bool(holds)) => Ok(holds),
        Ok(other) => Err(error(format!("it gives {:?}, not true or false", other.type_of()))),
        Err(e) => Err(error(e.to_string())),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as cel hands it over")]
fn quantity(text: Arc<String>) -> Result<i64, ExecutionError> {
    size::quantity(&text)
        .ok_or_else(|| ExecutionError::function_error("quantity", format!("{text:?} is no size")))
}

fn compare_to(This(one): This<i64>, other: i64) -> i64 {
    one.cmp(&other) as i64
}

/// Rules are few and compiling one takes milliseconds: each is compiled once.
fn compiled(rule: &str) -> Result<Arc<Program>, String> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Program>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = compiled.get(rule) {
        return Ok(Arc::clone(program));
    }
    let program = Arc::new(Program::compile(rule).map_err(|error| error.to_string())?);
    compiled.insert(rule.to_owned(), Arc::clone(&program));
    Ok(program)
}

/// Integers become CEL's `int`, as a schema's `type: integer` does.
fn to_cel(node: &Node) -> Cel {
    match &node.content {
        Content::Null => Cel::Null,
        Content::Bool(value) => (*value).into(),
        Content::Int(value) => (*value).into(),
        Content::Float(value) => (*value).into(),
        Content::Text(text) => text.as_str().into(),
        Content::List(items) => Cel::from(items.iter().map(to_cel).collect::<Vec<_>>()),
        Content::Map(members) => {
            let entries: HashMap<Key, Cel> =
                members.iter().map(|m| (m.key.as_str().into(), to_cel(&m.value))).collect();
            Cel::from(entries)
        }
    }
}
