//! Moves what was seen on in keys and time, so that each loop is new to the journal.

use super::tape::build_of;
use crate::assembler::Observation;
use model::{
    Build, BuildId, BuilderId, Buildset, BuildsetId, Change, ChangeId, Log, LogId, Properties,
    Request, RequestId, SourceStamp, SourceStampId, Step, StepId, Timestamp,
};
use std::collections::BTreeMap;

/// How far one loop of a tape moves each kind of key: one more than the highest.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans {
    pub build: u64,
    step: u64,
    pub log: u64,
    pub change: u64,
    pub buildset: u64,
    pub request: u64,
    stamp: u64,
    /// The highest number of each builder's builds.
    numbers: BTreeMap<BuilderId, u64>,
    /// Whose builds they are.
    builders: BTreeMap<BuildId, BuilderId>,
}

fn up(span: &mut u64, key: u64) {
    *span = (*span).max(key + 1);
}

impl Spans {
    pub(super) fn of(entries: &[(u64, Observation)]) -> Self {
        let mut spans = Self::default();
        for (_, seen) in entries {
            if let Some(id) = build_of(seen) {
                up(&mut spans.build, id.0);
            }
            match seen {
                Observation::Build { build, .. } | Observation::Whole(build) => {
                    let number = spans.numbers.entry(build.builder.id).or_default();
                    *number = build.number.max(*number);
                    spans.builders.insert(build.id, build.builder.id);
                    build.steps.iter().for_each(|step| spans.step(step));
                    up(&mut spans.request, build.request.0);
                }
                Observation::Step(_, step) => spans.step(step),
                Observation::Log(_, log, _) => up(&mut spans.log, log.id.0),
                Observation::Change(change) => spans.change(change),
                Observation::Changes(_, all) | Observation::StampChanges(_, all) => {
                    all.iter().for_each(|change| spans.change(change));
                }
                Observation::Buildset { buildset, .. } => {
                    up(&mut spans.buildset, buildset.id.0);
                    buildset.source_stamps.iter().for_each(|s| up(&mut spans.stamp, s.id.0));
                }
                Observation::Request(request) => up(&mut spans.request, request.id.0),
                _ => {}
            }
        }
        spans
    }

    fn step(&mut self, step: &Step) {
        up(&mut self.step, step.id.0);
        step.logs.iter().for_each(|log| up(&mut self.log, log.id.0));
    }

    fn change(&mut self, change: &Change) {
        up(&mut self.change, change.id.0);
        up(&mut self.stamp, change.source_stamp.0);
    }
}

/// One loop: how often the keys are moved, and where its times go.
#[derive(Clone, Debug)]
pub(super) struct Shift<'a> {
    pub spans: &'a Spans,
    /// The loop's number, from 0; keys move on by it times their span.
    pub turn: u64,
    /// When the tape began, and when this loop begins.
    pub from: i64,
    pub to: i64,
    pub speed: f64,
}

impl Shift<'_> {
    /// The same thing, seen in this loop.
    pub(super) fn apply(&self, seen: &Observation) -> Observation {
        let mut seen = seen.clone();
        match &mut seen {
            Observation::Build { build, .. } | Observation::Whole(build) => self.build(build),
            Observation::Properties(id, properties) => {
                self.properties(*id, properties);
                self.build_id(id);
            }
            Observation::Step(id, step) => {
                self.build_id(id);
                self.step(step);
            }
            Observation::Log(step, log, _) => {
                self.step_id(step);
                self.log(log);
            }
            Observation::Change(change) => self.change(change),
            Observation::Changes(id, all) | Observation::StampChanges(id, all) => {
                self.build_id(id);
                all.iter_mut().for_each(|change| self.change(change));
            }
            Observation::Buildset { buildset, .. } => self.buildset(buildset),
            Observation::BuildsetProperties(id, _) => self.buildset_id(id),
            Observation::Request(request) => self.request(request),
            Observation::RequestBuilt(id, _) => self.request_id(id),
            Observation::Requests(id, all) => {
                self.buildset_id(id);
                all.iter_mut().for_each(|request| self.request(request));
            }
            _ => {}
        }
        seen
    }

    /// Times before the tape (a commit's own) are taken for its beginning.
    fn time(&self, time: &mut Timestamp) {
        let after = time.0.saturating_sub(self.from).max(0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds")]
        let after = (after as f64 / self.speed) as i64;
        time.0 = self.to.saturating_add(after);
    }

    fn build_id(&self, id: &mut BuildId) {
        id.0 += self.turn * self.spans.build;
    }

    fn step_id(&self, id: &mut StepId) {
        id.0 += self.turn * self.spans.step;
    }

    fn buildset_id(&self, id: &mut BuildsetId) {
        id.0 += self.turn * self.spans.buildset;
    }

    fn request_id(&self, id: &mut RequestId) {
        id.0 += self.turn * self.spans.request;
    }

    fn stamp_id(&self, id: &mut SourceStampId) {
        id.0 += self.turn * self.spans.stamp;
    }

    fn number(&self, builder: BuilderId) -> u64 {
        self.turn * self.spans.numbers.get(&builder).copied().unwrap_or(0)
    }

    fn properties(&self, id: BuildId, properties: &mut Properties) {
        let Some(builder) = self.spans.builders.get(&id) else { return };
        if let Some(property) = properties.0.get_mut("buildnumber")
            && let Some(number) = property.0.as_u64()
        {
            property.0 = (number + self.number(*builder)).into();
        }
    }

    fn build(&self, build: &mut Build) {
        self.properties(build.id, &mut build.properties);
        self.build_id(&mut build.id);
        self.request_id(&mut build.request);
        build.number += self.number(build.builder.id);
        self.time(&mut build.started_at);
        build.complete_at.iter_mut().for_each(|time| self.time(time));
        build.steps.iter_mut().for_each(|step| self.step(step));
    }

    fn step(&self, step: &mut Step) {
        self.step_id(&mut step.id);
        step.started_at.iter_mut().for_each(|time| self.time(time));
        step.complete_at.iter_mut().for_each(|time| self.time(time));
        step.logs.iter_mut().for_each(|log| self.log(log));
    }

    fn log(&self, log: &mut Log) {
        let LogId(id) = &mut log.id;
        *id += self.turn * self.spans.log;
    }

    fn change(&self, change: &mut Change) {
        let ChangeId(id) = &mut change.id;
        *id += self.turn * self.spans.change;
        self.stamp_id(&mut change.source_stamp);
        self.time(&mut change.when);
    }

    fn buildset(&self, buildset: &mut Buildset) {
        self.buildset_id(&mut buildset.id);
        self.time(&mut buildset.submitted_at);
        buildset.complete_at.iter_mut().for_each(|time| self.time(time));
        buildset.parent_build.iter_mut().for_each(|id| self.build_id(id));
        buildset.rebuilt_build.iter_mut().for_each(|id| self.build_id(id));
        let stamp = |stamp: &mut SourceStamp| self.stamp_id(&mut stamp.id);
        buildset.source_stamps.iter_mut().for_each(stamp);
    }

    fn request(&self, request: &mut Request) {
        self.request_id(&mut request.id);
        self.buildset_id(&mut request.buildset);
        self.time(&mut request.submitted_at);
        request.complete_at.iter_mut().for_each(|time| self.time(time));
    }
}
