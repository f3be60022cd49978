//! How the view changes: snapshots, records, signs of life, history.

use super::{BuildRow, BuilderView, Happening, Limits, Meta, StepRow, View};
use feed::{Item, Snapshot};
use master::{MasterState, StateKind};
use model::{
    Build, BuildId, Builder, BuilderId, Change, Event, Live, Log, Record, Step, Timestamp, Worker,
};
use std::sync::Arc;

impl View {
    /// A view of a snapshot.
    pub fn new(snapshot: Snapshot, state: MasterState, limits: Limits) -> Self {
        let Snapshot { position, world, builds, changes, .. } = snapshot;
        let mut view = Self { position, state, limits, generation: 1, ..Self::default() };
        view.meta = Meta {
            title: world.title,
            title_url: world.title_url,
            buildbot_url: world.buildbot_url,
            version: world.version,
        };
        view.workers = world.workers;
        view.requests = world.requests;
        view.buildsets = world.buildsets;
        for builder in world.builders.into_values() {
            view.builder_is(&builder);
        }
        for change in changes {
            view.change_is(Arc::new(change));
        }
        for build in world.open.into_values() {
            view.build_is(&build);
        }
        for build in &builds {
            view.build_is(build);
        }
        view
    }

    /// Takes over what a follower saw. `false` means: take a new snapshot.
    pub fn apply(&mut self, item: &Item) -> bool {
        match item {
            Item::Record(record) if record.position <= self.position => return true,
            Item::Record(record) => self.record(record),
            Item::Live(live) => self.live(live),
            Item::History(build) if self.builds.contains_key(&build.id) => return true,
            Item::History(build) => self.build_is(build),
            Item::HistoryChange(change) => self.change_is(change.clone()),
            Item::State(state) => self.state_is(state),
            Item::Resync => return false,
        }
        self.generation += 1;
        true
    }

    fn state_is(&mut self, state: &MasterState) {
        if state.kind.is_connected() != self.state.kind.is_connected() {
            let text = match state.kind {
                StateKind::Restarting => "master restarting",
                StateKind::FeedAway => "feed away",
                kind if kind.is_connected() => "master connected",
                _ => "master away",
            };
            self.happened(state.since, Box::default(), text);
        }
        self.state = state.clone();
    }

    fn record(&mut self, record: &Record) {
        self.position = record.position;
        let at = Timestamp(record.journaled_ms.div_euclid(1000));
        match &record.event {
            Event::BuildStarted { build } | Event::BuildFinished { build } => self.build_is(build),
            Event::StepStarted { build, step, .. } | Event::StepFinished { build, step, .. } => {
                self.step_is(*build, step);
            }
            Event::RequestSubmitted { request } => {
                self.requests.insert(request.id, request.clone());
            }
            Event::RequestCancelled { request } | Event::RequestCompleted { request } => {
                self.requests.remove(&request.id);
            }
            Event::BuildsetSubmitted { buildset } => {
                self.buildsets.insert(buildset.id, (**buildset).clone());
            }
            Event::BuildsetCompleted { buildset } => {
                self.buildsets.remove(&buildset.id);
            }
            Event::ChangeAdded { change } => self.change_is(Arc::new((**change).clone())),
            Event::WorkerConnected { worker } => self.worker_is(worker, at, "connected"),
            Event::WorkerDisconnected { worker } => self.worker_is(worker, at, "disconnected"),
            Event::WorkerChanged { worker } => {
                let before = self.workers.get(&worker.id).is_some_and(|w| w.paused);
                match (before, worker.paused) {
                    (false, true) => self.worker_is(worker, at, "paused"),
                    (true, false) => self.worker_is(worker, at, "unpaused"),
                    _ => drop(self.workers.insert(worker.id, worker.clone())),
                }
            }
            Event::BuilderAdded { builder } => self.builder_changed(builder, at, "builder added"),
            Event::BuilderChanged { builder } => self.builder_changed(builder, at, "reconfigured"),
            Event::BuilderRemoved { builder } => {
                self.builder_changed(builder, at, "builder removed");
            }
        }
    }

    fn live(&mut self, live: &Live) {
        match live {
            Live::BuildText { build, text } => {
                if let Some(open) = self.open.get_mut(build) {
                    open.text.clone_from(text);
                    self.row_of(*build, |row, names| row.text = names.get(text));
                }
            }
            Live::StepChanged { build, step } => self.step_is(*build, step),
            Live::LogAppended { build, log } => self.log_is(*build, log),
            // The state of the connection comes as an item of its own.
            Live::Master { .. } => {}
        }
    }

    /// Changes the slim form of a build that runs.
    fn row_of(&mut self, id: BuildId, change: impl FnOnce(&mut BuildRow, &mut super::Names)) {
        let Some(held) = self.builds.get_mut(&id) else { return };
        let mut row = (**held).clone();
        change(&mut row, &mut self.names);
        let row = Arc::new(row);
        *held = row.clone();
        if let Some(builder) = self.builders.get_mut(&row.builder) {
            builder.builds.insert(row.number, row);
        }
    }

    fn step_is(&mut self, id: BuildId, step: &Step) {
        let Some(build) = self.open.get_mut(&id) else { return };
        match build.steps.iter_mut().find(|s| s.id == step.id) {
            // A sign of life that was overtaken by the step's end.
            Some(held) if held.complete_at.is_some() && step.complete_at.is_none() => return,
            Some(held) => *held = step.clone(),
            None => {
                let at = build.steps.partition_point(|s| s.number < step.number);
                build.steps.insert(at, step.clone());
            }
        }
        self.row_of(id, |row, names| {
            let new = StepRow::new(step, names);
            let mut steps = std::mem::take(&mut row.steps).into_vec();
            match steps.iter_mut().find(|s| s.id == new.id) {
                Some(held) => *held = new,
                None => steps.insert(steps.partition_point(|s| s.number < new.number), new),
            }
            row.steps = steps.into();
        });
    }

    fn log_is(&mut self, id: BuildId, log: &Log) {
        let Some(build) = self.open.get_mut(&id) else { return };
        let held = build.steps.iter_mut().flat_map(|s| &mut s.logs).find(|l| l.id == log.id);
        let Some(held) = held else { return };
        held.clone_from(log);
        self.row_of(id, |row, _| {
            if let Some(l) = row.steps.iter_mut().flat_map(|s| &mut s.logs).find(|l| l.id == log.id)
            {
                (l.lines, l.complete) = (log.lines, log.complete);
            }
        });
    }

    fn build_is(&mut self, build: &Build) {
        let finished = build.outcome.is_some();
        if !finished && self.builds.get(&build.id).is_some_and(|b| b.outcome.is_some()) {
            return;
        }
        let row = Arc::new(BuildRow::new(build, &mut self.names));
        let builder = self.builders.entry(build.builder.id).or_insert_with(|| {
            self.by_name.entry(build.builder.name.clone()).or_insert(build.builder.id);
            let builder = Builder {
                id: build.builder.id,
                name: build.builder.name.clone(),
                tags: build.builder.tags.clone(),
                ..Builder::default()
            };
            BuilderView { builder, ..BuilderView::default() }
        });
        builder.builds.insert(row.number, row.clone());
        self.builds.insert(row.id, row);
        let was = self.open.contains_key(&build.id);
        if finished {
            self.open.remove(&build.id);
            builder.open -= usize::from(was && builder.open > 0);
            let this = (build.number, build.id);
            let newest = builder.newest.map_or(this, |newest| newest.max(this));
            let older = [Some(this), builder.newest.replace(newest)];
            self.spare.extend(older.into_iter().flatten().filter(|b| *b != newest).map(|b| b.1));
        } else {
            self.open.insert(build.id, build.clone());
            builder.open += usize::from(!was);
        }
        self.requests.remove(&build.request);
        for change in &build.changes {
            self.changes.entry(change.id).or_insert_with(|| Arc::new(change.clone()));
        }
        self.forget();
    }

    /// Drops the oldest beyond the limits. Builds that run stay, and so does the last one of each
    /// builder, however long ago it was: it says whether the builder fails.
    fn forget(&mut self) {
        while self.builds.len() - self.open.len() > self.limits.builds {
            let Some(id) = self.spare.pop_first() else { break };
            self.forgot = self.forgot.max(Some(id));
            let Some(row) = self.builds.remove(&id) else { continue };
            if let Some(builder) = self.builders.get_mut(&row.builder) {
                builder.builds.remove(&row.number);
            }
        }
        while self.changes.len() > self.limits.changes {
            self.changes.pop_first();
        }
    }

    fn change_is(&mut self, change: Arc<Change>) {
        self.changes.insert(change.id, change);
        self.forget();
    }

    fn builder_is(&mut self, builder: &Builder) {
        let held = self.builders.entry(builder.id).or_default();
        held.builder = builder.clone();
        // A name may pass from a removed builder to a new one: the configured one has it.
        let other = self.by_name.get(&builder.name).and_then(|id| self.builders.get(id));
        if builder.configured || !other.is_some_and(|o| o.builder.configured) {
            self.by_name.insert(builder.name.clone(), builder.id);
        }
        self.reorder();
    }

    fn builder_changed(&mut self, builder: &Builder, at: Timestamp, what: &str) {
        self.builder_is(builder);
        self.happened(at, [builder.id].into(), what);
    }

    fn worker_is(&mut self, worker: &Worker, at: Timestamp, what: &str) {
        let text = format!("{} {what}", worker.name);
        if !worker.builders.is_empty() {
            self.happened(at, worker.builders.as_slice().into(), &text);
        }
        self.workers.insert(worker.id, worker.clone());
    }

    fn happened(&mut self, at: Timestamp, builders: Box<[BuilderId]>, text: &str) {
        let text = self.names.get(text);
        let at = self.happenings.back().map_or(at, |last| last.at.max(at));
        self.happenings.push_back(Happening { at, builders, text });
        if self.happenings.len() > self.limits.happenings {
            self.happenings.pop_front();
        }
    }
}
