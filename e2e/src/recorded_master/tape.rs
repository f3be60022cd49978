//! The recording: frames with their time, and what only REST told of the same builds.

use flate2::read::GzDecoder;
use serde_json::Value;
use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

/// A frame of the recording.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Milliseconds since the first frame.
    pub at: u64,
    /// The routing key's resource: `builds`.
    pub resource: String,
    /// The recorded key of the resource.
    pub id: u64,
    /// What happened: `finished`, `properties/update`.
    pub what: String,
    /// The body; null where the master sends none.
    pub body: Value,
    /// The build that the frame belongs to, by its recorded key: it is played again when the
    /// master is killed while the build runs.
    pub build: Option<u64>,
}

/// What REST says of a recorded build beside its row.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    pub row: Value,
    /// Recorded keys of its changes, back to the last success.
    pub changes: Vec<u64>,
    pub steps: Vec<Value>,
    /// Rows of logs with their text.
    pub logs: Vec<(Value, String)>,
    pub buildset: Value,
    pub buildset_properties: Value,
    /// Every change that is named.
    pub change_rows: Vec<Value>,
}

/// A recording of a real master: `e2e/recording`.
#[derive(Debug)]
pub(super) struct Tape {
    pub frames: Vec<Frame>,
    /// Builds by recorded key; those without frames were before the tape.
    pub builds: BTreeMap<u64, Whole>,
    /// Rows of `builds/N/new`, by recorded key.
    pub begun: BTreeMap<u64, Value>,
    pub requests: BTreeMap<u64, Value>,
    pub builders: Vec<Value>,
    pub workers: Vec<Value>,
    pub masters: Vec<Value>,
    pub config: Value,
    /// The master's clock at the first frame, in seconds.
    pub start: f64,
    /// Properties of buildsets, by recorded key, where frames do not tell them.
    pub set_properties: BTreeMap<u64, Value>,
    /// Texts of logs, by recorded key.
    pub texts: BTreeMap<u64, String>,
}

fn lines(path: &Path) -> Vec<Value> {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn take(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or(Value::Null)
}

fn list(value: &Value, pointer: &str) -> Vec<Value> {
    value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
}

impl Tape {
    /// Reads the recording of this repository.
    pub(super) fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recording");
        let mut tape = Self {
            frames: Vec::new(),
            builds: BTreeMap::new(),
            begun: BTreeMap::new(),
            requests: BTreeMap::new(),
            builders: Vec::new(),
            workers: Vec::new(),
            masters: Vec::new(),
            config: Value::Null,
            start: 0.0,
            set_properties: BTreeMap::new(),
            texts: BTreeMap::new(),
        };
        for row in lines(&folder.join("rest_builds.jsonl.gz")) {
            tape.build(&row);
        }
        for row in lines(&folder.join("rest_collections.jsonl.gz")) {
            let path = row["path"].as_str().unwrap_or_default();
            let rows = |name: &str| list(&row, &format!("/body/{name}"));
            match path.split('?').next().unwrap_or_default() {
                "builders" => tape.builders = rows("builders"),
                "workers" => tape.workers = rows("workers"),
                "masters" => tape.masters = rows("masters"),
                "config" => tape.config = row["body"].clone(),
                "buildrequests" => {
                    for request in rows("buildrequests") {
                        let set = request["buildsetid"].as_u64().unwrap();
                        tape.set_properties.insert(set, request["properties"].clone());
                        tape.requests.insert(request["buildrequestid"].as_u64().unwrap(), request);
                    }
                }
                _ => {}
            }
        }
        tape.frames(lines(&folder.join("ws.jsonl.gz")));
        tape
    }

    fn build(&mut self, row: &Value) {
        let id = row["buildid"].as_u64().unwrap();
        let mut logs = Vec::new();
        for entry in row["logs"].as_object().into_iter().flat_map(|logs| logs.values()) {
            let text = take(entry, "/contents/logchunks/0/content");
            let text = text.as_str().unwrap_or_default().to_owned();
            self.texts.insert(entry["log"]["logid"].as_u64().unwrap(), text.clone());
            logs.push((entry["log"].clone(), text));
        }
        let change_rows = list(row, "/changes/changes");
        let whole = Whole {
            row: take(row, "/build/builds/0"),
            changes: change_rows.iter().filter_map(|c| c["changeid"].as_u64()).collect(),
            steps: list(row, "/steps/steps"),
            logs,
            buildset: take(row, "/buildset/buildsets/0"),
            buildset_properties: take(row, "/buildset_properties/properties/0"),
            change_rows,
        };
        let set = whole.buildset["bsid"].as_u64().unwrap();
        self.set_properties.insert(set, whole.buildset_properties.clone());
        self.builds.insert(id, whole);
    }

    fn frames(&mut self, rows: Vec<Value>) {
        // Whose a request, step or log is: a request's frames are of the build that was made of it last.
        let mut of_step: BTreeMap<u64, u64> = BTreeMap::new();
        for row in rows {
            let (Some(key), Some(t)) = (row["k"].as_str(), row["t"].as_f64()) else { continue };
            if self.frames.is_empty() {
                self.start = t;
            }
            let mut parts = key.splitn(3, '/');
            let resource = parts.next().unwrap_or_default().to_owned();
            let id = parts.next().and_then(|id| id.parse().ok());
            let what = parts.next().unwrap_or_default().to_owned();
            // What a person did (`control/…`) leads to nothing that is read.
            let Some(id) = id else { continue };
            let body = row["m"].clone();
            let build = match resource.as_str() {
                "builds" => Some(id),
                "steps" => {
                    of_step.insert(id, body["buildid"].as_u64().unwrap());
                    body["buildid"].as_u64()
                }
                "logs" => body["stepid"].as_u64().and_then(|step| of_step.get(&step).copied()),
                _ => None,
            };
            if resource == "builds" && what == "new" {
                self.begun.insert(id, body.clone());
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let at = ((t - self.start) * 1000.0) as u64;
            self.frames.push(Frame { at, resource, id, what, body, build });
        }
        self.requests_belong();
    }

    /// A request's claim and end belong to the build that is made of it.
    fn requests_belong(&mut self) {
        let mut claimed: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for at in 0..self.frames.len() {
            let frame = &self.frames[at];
            match (frame.resource.as_str(), frame.what.as_str()) {
                ("buildrequests", "claimed") => claimed.entry(frame.id).or_default().push(at),
                ("builds", "new") => {
                    let (build, request) =
                        (frame.id, frame.body["buildrequestid"].as_u64().unwrap());
                    last.insert(request, build);
                    for index in claimed.remove(&request).into_iter().flatten() {
                        self.frames[index].build = Some(build);
                    }
                }
                ("buildrequests", "complete" | "unclaimed") => {
                    self.frames[at].build = last.get(&frame.id).copied();
                }
                _ => {}
            }
        }
    }

    /// How long it is, in milliseconds.
    pub(super) fn length(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.at)
    }

    /// Recorded builds that were before the first frame.
    pub(super) fn before(&self) -> impl Iterator<Item = (&u64, &Whole)> {
        self.builds.iter().filter(|(id, _)| !self.begun.contains_key(id))
    }
}
