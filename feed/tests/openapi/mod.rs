//! The description of the API for programs, made of the types and of a few words for each route.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use feed::{
    ConsumerStatus, Parked, Snapshot,
    http::{
        api::*,
        server::{Need, ROUTES},
    },
};
use model::{Build, Change};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What an operation answers when all is well.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// JSON of the component of this name.
    Json(&'static str),
    /// Server-sent events of [`Item`].
    Events,
    /// Server-sent events of which there are none.
    Silence,
    /// 204.
    Nothing,
}

/// One method of one path.
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    pub query: Option<Schema>,
    pub body: Option<Schema>,
    pub answer: Answer,
}

/// A schema of what readers send: what they may leave out is optional.
fn sent<T: JsonSchema>() -> Option<Schema> {
    let settings = SchemaSettings::draft2020_12()
        .with(|s| (s.inline_subschemas, s.meta_schema) = (true, None));
    Some(settings.into_generator().into_root_schema_for::<T>())
}

/// All operations, in the order of the routes.
pub fn operations() -> Vec<Operation> {
    use Answer::{Events, Json, Nothing, Silence};
    let operation = |method, path, summary, query, body, answer| Operation {
        method,
        path,
        summary,
        query,
        body,
        answer,
    };
    let get = |path, summary, query, answer| operation("get", path, summary, query, None, answer);
    let post = |path, summary, body, answer| operation("post", path, summary, None, body, answer);
    let delete = |path, summary| operation("delete", path, summary, None, None, Nothing);
    vec![
        get("/v1/info", "Whose feed this is", None, Json("Info")),
        get(
            "/v1/snapshot",
            "What is so now, with the newest of the past",
            sent::<SnapshotQuery>(),
            Json("Snapshot"),
        ),
        get("/v1/events", "Events as they come", sent::<EventsQuery>(), Events),
        get("/v1/builds", "Finished builds, newest first", sent::<BuildsQuery>(), Json("Builds")),
        get("/v1/builds/{id}", "A finished build", None, Json("Build")),
        get("/v1/changes", "Changes, newest first", sent::<ChangesQuery>(), Json("Changes")),
        get("/v1/changes/{id}", "A change", None, Json("Change")),
        get(
            "/v1/users",
            "People whom changes and builds name",
            sent::<UsersQuery>(),
            Json("Users"),
        ),
        get("/v1/logs/{id}", "Lines of a log", sent::<LinesQuery>(), Json("Lines")),
        get(
            "/v1/logs/{id}/watch",
            "Has growth of a log told on `/v1/events` for as long as this stream is open",
            None,
            Silence,
        ),
        get("/v1/consumers", "Figures of all consumers", None, Json("Consumers")),
        get("/v1/consumers/{name}", "Figures of one consumer", None, Json("ConsumerStatus")),
        delete("/v1/consumers/{name}", "Forgets a consumer with its state and dead letters"),
        operation(
            "put",
            "/v1/consumers/{name}/report",
            "What the process of a target or of pages says of itself; kept for ten minutes",
            None,
            sent::<Report>(),
            Nothing,
        ),
        post(
            "/v1/consumers/{name}/open",
            "Begins a generation; a consumer that is new starts at the head",
            sent::<OpenRequest>(),
            Json("Opened"),
        ),
        get(
            "/v1/consumers/{name}/events",
            "Records of a consumer: a stream, or a long poll",
            sent::<ConsumeQuery>(),
            Json("Records"),
        ),
        post(
            "/v1/consumers/{name}/acks",
            "What is done; answered when it is on disk",
            sent::<AckRequest>(),
            Json("AckResponse"),
        ),
        get(
            "/v1/consumers/{name}/dead-letters",
            "Records that a consumer gave up, oldest first",
            sent::<LettersQuery>(),
            Json("Letters"),
        ),
        get(
            "/v1/consumers/{name}/dead-letters/{position}",
            "A record that a consumer gave up",
            None,
            Json("Parked"),
        ),
        post(
            "/v1/consumers/{name}/dead-letters/{position}/replay",
            "Hands a dead letter out again",
            None,
            Nothing,
        ),
        delete(
            "/v1/consumers/{name}/dead-letters/{position}",
            "Throws a dead letter away for good",
        ),
        post(
            "/v1/consumers/{name}/replay",
            "Hands finished builds of the history out",
            sent::<ReplayRequest>(),
            Json("Replayed"),
        ),
    ]
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|s| {
            s.definitions_path = "/components/schemas".into();
            s.meta_schema = None;
        })
        .for_serialize();
    let mut schemas = settings.into_generator();
    answered(&mut schemas);
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(&operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Feed of Buildbot Status Operator",
            "version": VERSION,
            "description": "The journal of one Buildbot master, for targets and pages. \
                            docs/feed-api.md tells how it is used.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
            },
            "schemas": schemas.take_definitions(true),
        },
    })
}

/// Puts everything that is answered among the components.
fn answered(schemas: &mut SchemaGenerator) {
    macro_rules! of {
        ($($type:ty),*) => { $(schemas.subschema_for::<$type>();)* };
    }
    of!(
        Info,
        Snapshot,
        Item,
        Builds,
        Build,
        Changes,
        Change,
        Users,
        Lines,
        Consumers,
        ConsumerStatus,
        Opened,
        Records,
        Backlog,
        AckResponse,
        Letters,
        Parked,
        Replayed,
        Problem
    );
}

fn described(operation: &Operation) -> Value {
    let (_, _, need) = ROUTES
        .iter()
        .find(|(method, path, _)| (*method, *path) == (operation.method, operation.path))
        .unwrap_or_else(|| panic!("no route {} {}", operation.method, operation.path));
    let right = match need {
        Need::Read => "Needs the right `read`.",
        Need::Own => "Needs the right `consume`, and the consumer is the token's own.",
        Need::OwnOrManage => {
            "Needs the right `manage`, or `consume` where the consumer is the token's own."
        }
        Need::Manage => "Needs the right `manage`.",
        Need::Named => "Needs the right `consume` or `read`, and the name is the token's own.",
    };
    let mut described = json!({
        "summary": operation.summary,
        "description": right,
        "responses": {
            "default": {
                "description": "Why not",
                "content": { "application/problem+json": { "schema": component("Problem") } },
            },
        },
    });
    let parameters = parameters(operation);
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body } } });
    }
    let (status, answer) = match operation.answer {
        Answer::Json(name) => {
            let mut content = json!({ "application/json": { "schema": component(name) } });
            match name {
                "Snapshot" => content[MSGPACK] = json!({ "schema": component(name) }),
                "Records" => {
                    content["text/event-stream"] = stream(
                        "`record` (data: a Record, id: its position), `backlog` (a Backlog), and \
                     at last `end` (a Problem)",
                    );
                }
                _ => {}
            }
            ("200", json!({ "description": "Well", "content": content }))
        }
        Answer::Events => {
            let events = stream(
                "Named by an Item's `type`, with its `data`; the id is for \
                 `Last-Event-ID`",
            );
            ("200", json!({ "description": "Well", "content": { "text/event-stream": events } }))
        }
        Answer::Silence => {
            let events = stream("No events: comments, as a sign of life");
            ("200", json!({ "description": "Well", "content": { "text/event-stream": events } }))
        }
        Answer::Nothing => ("204", json!({ "description": "Done" })),
    };
    described["responses"][status] = answer;
    described
}

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn stream(text: &str) -> Value {
    json!({ "schema": { "type": "string", "description": text } })
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    for part in operation.path.split('/') {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            continue;
        };
        let (schema, text) = match name {
            "id" => {
                (json!({ "type": "integer", "minimum": 0 }), "The key in the master's database")
            }
            "name" => (json!({ "type": "string" }), "The consumer; `/` is written `%2F`"),
            "position" => (
                json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+$" }),
                "The record's position, such as `1.42`",
            ),
            other => panic!("no words for {other}"),
        };
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "description": text, "schema": schema,
        }));
    }
    let query = operation.query.as_ref().and_then(|query| query.get("properties"));
    for (name, schema) in query.and_then(Value::as_object).into_iter().flatten() {
        parameters.push(json!({ "name": name, "in": "query", "schema": schema }));
    }
    if operation.path == "/v1/events" {
        parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" },
            "description": "The id of the last event of an earlier stream; goes before `from`",
        }));
    }
    parameters
}
