//! A capture of a master: websocket frames with their time, and the REST bodies read after.
//!
//! `ws.jsonl` has `{"k": …, "m": …, "t": seconds}`, and `{"disconnect": …}` where frames were lost; `rest_builds.jsonl` has one build a line,
//! with `build`, `steps`, `changes`, `logs` by `step/slug`, and perhaps `buildset` and
//! `buildset_properties`; `rest_collections.jsonl` has `{"path", "status", "body"}`.

use crate::{
    assembler::{Need, Observation},
    frames::{self, Message},
    raw::{
        RawBuild, RawBuilder, RawBuildset, RawChange, RawConfig, RawLog, RawRequest, RawStep,
        RawWorker, property_map, row, rows,
    },
    recorded::RecordingError,
};
use model::{
    Build, BuildId, Builder, Buildset, BuildsetId, Change, Log, LogId, Properties, Request,
    RequestId, Step, StepId, Worker,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// What a master was seen to do, and what it said afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    /// Frames, by milliseconds since the first.
    pub frames: Vec<(u64, Observation)>,
    /// Builds with steps and logs.
    pub builds: BTreeMap<BuildId, Build>,
    pub changes_of: BTreeMap<BuildId, Vec<Change>>,
    pub buildsets: BTreeMap<BuildsetId, Buildset>,
    pub requests: BTreeMap<RequestId, Request>,
    pub builders: Vec<Builder>,
    pub workers: Vec<Worker>,
    /// What the master says of itself.
    pub meta: Option<Observation>,
    /// The master's time of the first frame.
    pub start: i64,
    /// Text of logs as the API gives it.
    pub texts: BTreeMap<LogId, String>,
}

impl Capture {
    /// Reads the three files.
    pub(crate) fn read(ws: &str, builds: &str, collections: &str) -> Result<Self, RecordingError> {
        let mut this = Self::default();
        let mut start = None;
        each(ws, |line| {
            if line.get("disconnect").is_some() {
                // Frames were lost: the REST bodies tell what they told.
                let at = this.frames.last().map_or(0, |(at, _)| *at);
                this.frames.push((at, Observation::Disconnected));
                this.frames.push((at, Observation::CaughtUp));
                return Ok(());
            }
            let Some(key) = line.get("k").and_then(Value::as_str) else { return Ok(()) };
            let at =
                line.get("t").and_then(Value::as_f64).ok_or_else(|| "it has no time".to_owned())?;
            let after = (at - *start.get_or_insert(at)).max(0.0) * 1000.0;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let (after, second) = (after as u64, at as i64);
            if this.start == 0 {
                this.start = second;
            }
            match frames::event(key, line.get("m").cloned().unwrap_or_default()) {
                Message::Observation(seen) => this.frames.push((after, seen)),
                Message::Garbage(why) => return Err(why),
                _ => {}
            }
            Ok(())
        })?;
        each(collections, |line| this.collection(&line))?;
        each(builds, |line| this.build(line))?;
        Ok(this)
    }

    fn collection(&mut self, line: &Value) -> Result<(), String> {
        let path = line.get("path").and_then(Value::as_str).unwrap_or_default();
        let body = || line.get("body").cloned().unwrap_or_default();
        if line.get("status").and_then(Value::as_i64) != Some(200) {
            return Ok(());
        }
        match path.trim_start_matches("api/v2/").split('?').next().unwrap_or_default() {
            "builders" => {
                self.builders = rows::<RawBuilder>(body(), "builders")?
                    .into_iter()
                    .map(|b| b.with(&BTreeMap::new()))
                    .collect();
            }
            "config" => self.meta = Some(row::<RawConfig>(body())?.into()),
            "workers" => {
                let all = rows::<RawWorker>(body(), "workers")?;
                self.workers = all.into_iter().map(Into::into).collect();
            }
            "buildsets" => {
                for raw in rows::<RawBuildset>(body(), "buildsets")? {
                    let set = Buildset::from(raw);
                    let properties = self.buildsets.remove(&set.id).map(|s| s.properties);
                    let properties = properties.unwrap_or_default();
                    self.buildsets.insert(set.id, Buildset { properties, ..set });
                }
            }
            "buildrequests" => {
                for value in rows::<Value>(body(), "buildrequests")? {
                    let properties = value.get("properties").filter(|p| p.is_object()).cloned();
                    let request = Request::from(row::<RawRequest>(value)?);
                    // A request's properties are its buildset's.
                    if let Some(properties) = properties {
                        let id = request.buildset;
                        let set = self.buildsets.entry(id).or_default();
                        (set.id, set.properties) = (id, property_map(properties)?);
                    }
                    self.requests.insert(request.id, request);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn build(&mut self, mut line: Value) -> Result<(), String> {
        let mut field = |name: &str| line.get_mut(name).map(Value::take);
        let mut build = Build::from(first::<RawBuild>(field("build"), "builds")?);
        let steps: Vec<RawStep> = rows(field("steps").unwrap_or_default(), "steps")?;
        build.steps = steps.into_iter().map(Step::from).collect();
        for log in field("logs").and_then(|logs| logs.as_object().cloned()).into_iter().flatten() {
            let (_, mut entry) = log;
            let raw: RawLog = row(entry.get_mut("log").map(Value::take).unwrap_or_default())?;
            let step = StepId(raw.stepid);
            let log = Log::from(raw);
            if let Some(text) = entry.pointer("/contents/logchunks/0/content") {
                self.texts.insert(log.id, text.as_str().unwrap_or_default().to_owned());
            }
            if let Some(step) = build.steps.iter_mut().find(|s| s.id == step) {
                step.logs.push(log);
                step.logs.sort_by_key(|log| log.id);
            }
        }
        if let Some(body) = field("changes") {
            let raw: Vec<RawChange> = rows(body, "changes")?;
            self.changes_of.insert(build.id, raw.into_iter().map(Into::into).collect());
        }
        if let Some(body) = field("buildset").filter(|b| !b.is_null()) {
            let set = Buildset::from(first::<RawBuildset>(Some(body), "buildsets")?);
            let known = self.buildsets.remove(&set.id).map(|s| s.properties);
            let told = field("buildset_properties").filter(|b| !b.is_null());
            let properties = match told {
                Some(body) => map(body)?,
                None => known.unwrap_or_default(),
            };
            self.buildsets.insert(set.id, Buildset { properties, ..set });
        }
        self.builds.insert(build.id, build);
        Ok(())
    }

    /// What the master would answer.
    pub(crate) fn meet(&self, need: Need) -> Observation {
        let answer = match &need {
            Need::Builders => Some(Observation::Builders(self.builders.clone())),
            Need::Workers => Some(Observation::Workers(self.workers.clone())),
            Need::Buildset(id) => self.buildsets.get(id).map(|set| Observation::Buildset {
                buildset: Box::new(set.clone()),
                whole: true,
                frame: false,
            }),
            Need::BuildsetProperties(id) => self
                .buildsets
                .get(id)
                .map(|set| Observation::BuildsetProperties(*id, set.properties.clone())),
            Need::Request(id) => self.requests.get(id).cloned().map(Observation::Request),
            Need::RequestBuilt(id) => {
                let built = self.builds.values().any(|build| build.request == *id);
                Some(Observation::RequestBuilt(*id, built))
            }
            Need::Requests(id) => {
                let of = self.requests.values().filter(|r| r.buildset == *id).cloned();
                Some(Observation::Requests(*id, of.collect()))
            }
            Need::Build(id) => {
                self.builds.get(id).map(|build| Observation::Whole(Box::new(build.clone())))
            }
            Need::Changes(id) => {
                self.changes_of.get(id).map(|c| Observation::Changes(*id, c.clone()))
            }
            Need::StampChanges(id, stamps) => {
                let all = self.changes_of.values().flatten();
                let of = all.filter(|c| stamps.contains(&c.source_stamp)).cloned();
                Some(Observation::StampChanges(*id, of.collect()))
            }
            Need::Previous(id, builder, number) => {
                let before = self
                    .builds
                    .values()
                    .filter(|b| b.builder.id == *builder && b.number < *number)
                    .max_by_key(|b| b.number);
                Some(Observation::Previous(*id, before.and_then(|b| b.outcome)))
            }
        };
        answer.unwrap_or(Observation::Absent(need))
    }
}

/// The one row of an answer, or the row itself.
fn first<T: DeserializeOwned>(body: Option<Value>, list: &str) -> Result<T, String> {
    let body = body.ok_or_else(|| format!("it has no {list}"))?;
    match body.get(list) {
        Some(_) => rows(body, list)?.into_iter().next().ok_or_else(|| format!("no {list}")),
        None => row(body),
    }
}

/// `{"properties": [{…}]}`, or the map itself.
fn map(body: Value) -> Result<Properties, String> {
    match body.get("properties").and_then(Value::as_array) {
        Some(list) => property_map(list.first().cloned().unwrap_or_else(|| serde_json::json!({}))),
        None => property_map(body),
    }
}

/// Reads JSON lines; errors tell the line.
fn each(
    text: &str,
    mut take: impl FnMut(Value) -> Result<(), String>,
) -> Result<(), RecordingError> {
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let value = serde_json::from_str(text).map_err(|e| e.to_string());
        value.and_then(&mut take).map_err(|reason| RecordingError { line, reason })?;
    }
    Ok(())
}
