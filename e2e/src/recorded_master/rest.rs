//! REST answers as Buildbot 4.3 gives them: keyset paging, filters, orders, fields.
//!
//! Source: <https://docs.buildbot.net/4.3.0/developer/rest.html>, and what a real master answers.

use super::database::{Database, Table, key_of};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// A query string's fields, decoded.
pub(super) type Query = Vec<(String, String)>;

/// The body of an answer; `None` is 404.
pub(super) fn answer(db: &Database, path: &str, query: &Query) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let id = parts.get(1).map(|id| id.parse::<u64>());
    match (parts.as_slice(), id) {
        ([name], _) => {
            // No steps and logs without what they belong to.
            let known = [
                "builds",
                "buildrequests",
                "buildsets",
                "changes",
                "sourcestamps",
                "builders",
                "workers",
                "masters",
                "projects",
            ];
            let name = known.into_iter().find(|known| known == name)?;
            let empty = Table::new();
            let rows = db.table(name).unwrap_or(&empty).values();
            Some(listed(db, name, rows, query))
        }
        ([name, _], Some(Ok(id))) => {
            let row = db.table(name)?.get(&id)?;
            Some(listed(db, name, std::iter::once(row), query))
        }
        (["builds", _, "steps"], Some(Ok(id))) => {
            db.table("builds")?.get(&id)?;
            Some(of(db, "steps", "buildid", id, query))
        }
        (["builds", _, "properties"], Some(Ok(id))) => {
            Some(json!({"properties": [db.build_properties.get(&id)?], "meta": {}}))
        }
        (["builds", _, "changes"], Some(Ok(id))) => {
            db.table("builds")?.get(&id)?;
            let changes = db.changes_of.get(&id).cloned().unwrap_or_default();
            let table = db.table("changes");
            let rows = changes.iter().filter_map(|id| table?.get(id));
            Some(listed(db, "changes", rows, query))
        }
        (["buildrequests", _, "builds"], Some(Ok(id))) => {
            Some(of(db, "builds", "buildrequestid", id, query))
        }
        (["builders", _, "builds"], Some(Ok(id))) => Some(of(db, "builds", "builderid", id, query)),
        (["buildsets", _, "properties"], Some(Ok(id))) => {
            Some(json!({"properties": [db.set_properties.get(&id)?], "meta": {}}))
        }
        (["sourcestamps", _, "changes"], Some(Ok(id))) => {
            let rows = db.table("changes").into_iter().flat_map(Table::values);
            Some(listed(db, "changes", rows.filter(|row| row["sourcestamp"]["ssid"] == id), query))
        }
        (["steps", _, "logs"], Some(Ok(id))) => Some(of(db, "logs", "stepid", id, query)),
        (["logs", _, "contents"], Some(Ok(id))) => Some(contents(db, id, query)),
        _ => None,
    }
}

/// Rows that belong to something.
fn of(db: &Database, name: &'static str, field: &str, id: u64, query: &Query) -> Value {
    let rows = db.table(name).into_iter().flat_map(Table::values);
    listed(db, name, rows.filter(|row| row[field] == id), query)
}

/// Lines of a log that are written by now.
fn contents(db: &Database, id: u64, query: &Query) -> Value {
    let number =
        |name: &str| query.iter().find(|(n, _)| n == name).and_then(|(_, v)| v.parse().ok());
    let (Some(row), Some(text)) = (db.table("logs").and_then(|t| t.get(&id)), db.texts.get(&id))
    else {
        return json!({"logchunks": [], "meta": {}});
    };
    let written = usize::try_from(row["num_lines"].as_u64().unwrap_or(0)).unwrap();
    let (first, limit) = (number("offset").unwrap_or(0), number("limit").unwrap_or(usize::MAX));
    let text: String = text.split_inclusive('\n').take(written).skip(first).take(limit).collect();
    json!({"logchunks": [{"logid": id, "firstline": first, "content": text}], "meta": {}})
}

/// The rows that a query asks for.
fn listed<'a>(
    db: &Database,
    name: &str,
    rows: impl Iterator<Item = &'a Value>,
    query: &Query,
) -> Value {
    let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let mut rows: Vec<&Value> = rows.filter(|row| matches(row, query)).collect();
    if let Some(order) = value("order") {
        let (field, backwards) = order.strip_prefix('-').map_or((order, false), |f| (f, true));
        rows.sort_by(|a, b| {
            let order = compare(&a[field], &b[field]);
            if backwards { order.reverse() } else { order }
        });
    }
    let offset = value("offset").and_then(|v| v.parse().ok()).unwrap_or(0);
    let limit = value("limit").and_then(|v| v.parse().ok()).unwrap_or(usize::MAX);
    let fields: Vec<&str> =
        query.iter().filter(|(n, _)| n == "field").map(|(_, v)| v.as_str()).collect();
    let wants_properties = value("property") == Some("*");
    let rows = rows.into_iter().skip(offset).take(limit).map(|row| {
        let mut row = row.clone();
        let key = row[key_of(name)].as_u64().unwrap();
        if name == "builds" && wants_properties {
            row["properties"] = db.build_properties.get(&key).cloned().unwrap_or_default().into();
        }
        if fields.is_empty() {
            return row;
        }
        let kept = fields.iter().filter_map(|f| Some(((*f).to_owned(), row.get(*f)?.clone())));
        kept.collect::<Map<_, _>>().into()
    });
    let rows: Vec<Value> = rows.collect();
    // The total of these is only the page's.
    let mut body = json!({"meta": {"total": rows.len()}});
    body[name] = rows.into();
    body
}

/// Whether a row passes the filters. A field repeated is OR; an operator that is not known is no
/// filter at all, as in Buildbot.
fn matches(row: &Value, query: &Query) -> bool {
    let filters: Vec<(&str, &str, &str)> = query
        .iter()
        .filter(|(name, _)| {
            !["order", "limit", "offset", "field", "property"].contains(&name.as_str())
        })
        .map(|(name, value)| {
            let (field, operator) = name.split_once("__").unwrap_or((name, "eq"));
            (field, operator, value.as_str())
        })
        .filter(|(field, operator, _)| {
            ["eq", "ne", "lt", "le", "gt", "ge", "contains"].contains(operator)
                && row.get(*field).is_some()
        })
        .collect();
    filters.iter().all(|(field, operator, _)| {
        let same = filters.iter().filter(|(f, o, _)| f == field && o == operator);
        same.into_iter().any(|(_, _, value)| passes(&row[*field], operator, value))
    })
}

fn passes(found: &Value, operator: &str, wanted: &str) -> bool {
    let wanted = match found {
        Value::Bool(_) => Value::Bool(["on", "true", "yes", "1"].contains(&wanted)),
        Value::Number(_) => wanted.parse::<i64>().map_or(Value::Null, Value::from),
        _ => Value::from(wanted),
    };
    let order = compare(found, &wanted);
    match operator {
        "eq" => order == Ordering::Equal,
        "ne" => order != Ordering::Equal,
        "lt" => order == Ordering::Less,
        "le" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        "ge" => order != Ordering::Less,
        _ => found.as_array().is_some_and(|list| list.contains(&wanted)),
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        // Databases sort NULL first.
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}
