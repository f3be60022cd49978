//! Builds: from the first frame to the complete event.

use super::{Assembler, Need, cut, heads, seen};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Event, Finished, Live, Outcome, Properties,
    SourceStampId, Timestamp, WorkerRef,
};
use std::collections::VecDeque;

/// What is known of a build that is not journaled as finished, beside its row.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Whether the build's own row was seen, not only its steps or properties.
    pub row: bool,
    /// Whether all its frames came in one unbroken connection.
    pub trusted: bool,
    /// How and when it ended.
    done: Option<Done>,
    /// Whether it was read, or can't be: only frames of a whole life bring its properties.
    read: bool,
    /// Whether it was read whole after its end.
    whole: bool,
    /// Its changes, back to the last success.
    pub changes: Option<Vec<model::Change>>,
    /// Whether the source stamps' own changes were asked for.
    pub stamps: bool,
    /// The outcome before it, as the master tells it.
    previous: Option<Option<Outcome>>,
}

#[derive(Clone, Debug)]
struct Done {
    at: Timestamp,
    outcome: Outcome,
    text: String,
}

impl Draft {
    /// Of a build whose start is journaled, and with it its changes.
    pub(super) fn journaled() -> Self {
        Self { row: true, changes: Some(Vec::new()), ..Self::default() }
    }
}

impl Assembler {
    /// The draft of a build, and the build itself.
    pub(super) fn draft(&mut self, id: BuildId) -> Option<(&mut Draft, &mut Build)> {
        let draft = self.drafts.get_mut(&id)?;
        let build = match self.pending.get_mut(&id) {
            Some(build) => build,
            None => self.world.open.get_mut(&id)?,
        };
        Some((draft, build))
    }

    /// Whether the build's start is journaled.
    pub(super) fn is_journaled(&self, id: BuildId) -> bool {
        self.world.open.contains_key(&id)
    }

    /// A draft of a build, if there is none.
    pub(super) fn begin(&mut self, id: BuildId, trusted: bool) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.drafts.entry(id) {
            entry.insert(Draft { trusted, ..Draft::default() });
            self.pending.insert(id, Build { id, ..Build::default() });
            // A survey may not come to it again.
            self.effects.dirty.meta |= id <= self.world.highest.build;
        }
    }

    /// Whether something told of the build can matter; begins a draft of a new one.
    pub(super) fn accept(&mut self, id: BuildId, frame: bool) -> bool {
        let h = self.world.highest;
        if !self.drafts.contains_key(&id) {
            if seen::is_seen(h.build.0, h.seen_builds, id.0) {
                return false;
            }
            self.begin(id, frame && self.live);
        }
        true
    }

    /// A build's own row.
    pub(super) fn build(&mut self, row: Build, frame: bool) {
        if self.accept(row.id, frame) {
            let id = row.id;
            self.row(row, frame);
            self.advance_build(id);
        }
    }

    fn row(&mut self, row: Build, frame: bool) {
        let id = row.id;
        if let Some(ask) = self.asks.get_mut(&row.request) {
            ask.built = Some(true);
        }
        let journaled = self.is_journaled(id);
        let live = self.live;
        let Some((draft, build)) = self.draft(id) else { return };
        draft.row = true;
        (build.number, build.request, build.started_at) = (row.number, row.request, row.started_at);
        if build.builder.id != row.builder.id {
            build.builder = row.builder;
        }
        if build.worker.as_ref().map(|w| w.id) != row.worker.as_ref().map(|w| w.id) {
            build.worker = row.worker;
        }
        match (row.outcome, row.complete_at) {
            (Some(outcome), Some(at)) => {
                draft.trusted &= frame && live;
                draft.done.get_or_insert(Done { at, outcome, text: row.text });
            }
            _ if draft.done.is_none() && build.text != row.text => {
                build.text.clone_from(&row.text);
                if journaled {
                    self.effects.dirty.open.insert(id);
                    self.effects.live.push(Live::BuildText { build: id, text: row.text });
                }
            }
            _ => {}
        }
    }

    /// Properties that were set; the rest stays.
    pub(super) fn properties(&mut self, id: BuildId, properties: Properties) {
        if !self.accept(id, true) {
            return;
        }
        if let Some((_, build)) = self.draft(id) {
            build.properties.merge(properties);
        }
        if self.is_journaled(id) {
            self.effects.dirty.open.insert(id);
        }
    }

    /// A build as REST has it, with all of its own.
    pub(super) fn whole(&mut self, whole: Build) {
        let id = whole.id;
        self.asked.remove(&Need::Build(id));
        if !self.accept(id, false) {
            return;
        }
        let complete = whole.outcome.is_some();
        let Build { steps, properties, .. } = whole;
        self.row(Build { steps: Vec::new(), properties: Properties::default(), ..whole }, false);
        let Some((draft, build)) = self.draft(id) else { return };
        draft.read = true;
        if complete {
            // Nothing is set after the end: what REST has now is all there is.
            build.properties = properties;
            draft.whole = true;
        } else {
            build.properties.merge(properties);
        }
        steps.into_iter().for_each(|step| self.step(id, step));
        if self.is_journaled(id) {
            self.effects.dirty.open.insert(id);
        }
        self.advance_build(id);
    }

    /// A build that cannot be read; `gone` if the master no longer has it.
    pub(super) fn vanished(&mut self, id: BuildId, gone: bool) {
        if let Some((draft, _)) = self.draft(id) {
            draft.read = true;
            if draft.done.is_some() {
                draft.whole = true;
                return self.advance_build(id);
            }
            if !gone {
                return self.advance_build(id);
            }
            self.drafts.remove(&id);
            self.pending.remove(&id);
            self.effects.dirty.meta |= self.world.waiting.builds.contains(&id);
            if self.world.open.remove(&id).is_some() {
                self.effects.dirty.open.insert(id);
            }
            self.steps.retain(|_, build| *build != id);
        }
    }

    /// The outcome before a build, as the master tells it.
    pub(super) fn previous(&mut self, id: BuildId, outcome: Option<Outcome>) {
        self.asked.retain(|need| !matches!(need, Need::Previous(build, ..) if *build == id));
        if let Some((draft, _)) = self.draft(id) {
            draft.previous = Some(outcome);
            self.advance_build(id);
        }
    }

    /// Tries again all builds that wait for a detail.
    pub(super) fn advance_builds(&mut self) {
        let waiting: Vec<BuildId> = self
            .drafts
            .iter()
            .filter(|(id, draft)| draft.done.is_some() || self.pending.contains_key(id))
            .map(|(id, _)| *id)
            .collect();
        waiting.into_iter().for_each(|id| self.advance_build(id));
    }

    /// Journals the start and the end of a build, as soon as all is there, and then those that waited for it.
    pub(super) fn advance_build(&mut self, id: BuildId) {
        let mut turn = VecDeque::from([id]);
        while let Some(id) = turn.pop_front() {
            if !self.drafts.get(&id).is_some_and(|draft| draft.row) {
                continue;
            }
            let begun = self.is_journaled(id) || self.start(id);
            if begun && self.may_finish(id) {
                let Some((_, build)) = self.draft(id) else { continue };
                let (builder, number) = (build.builder.id, build.number);
                self.finish(id);
                turn.extend(self.waiting_for(builder, number));
            }
        }
    }

    /// Journals a build's start; false while a detail is missing.
    fn start(&mut self, id: BuildId) -> bool {
        let Some((_, build)) = self.draft(id) else { return false };
        let (request, builder) = (build.request, build.builder.id);
        let worker = build.worker.as_ref().map(|w| w.id);
        let named = self.knows_builder(builder) & worker.is_none_or(|w| self.knows_worker(w));
        let Some(buildset) = self.buildset_of(request) else { return false };
        let Some((draft, _)) = self.draft(id) else { return false };
        let (unread, stamps) = (!draft.trusted && !draft.read, draft.stamps);
        let changes = draft.changes.clone();
        if unread {
            self.ask(Need::Build(id));
        }
        let Some(changes) = changes else {
            self.ask(Need::Changes(id));
            return false;
        };
        if unread {
            return false;
        }
        // The master lists no changes where the build that this one repeats was a success.
        let bare: Vec<SourceStampId> = buildset
            .source_stamps
            .iter()
            .filter(|s| changes.iter().all(|c| c.codebase != s.codebase))
            .map(|s| s.id)
            .collect();
        if buildset.rebuilt_build.is_some() && !stamps && !bare.is_empty() {
            self.ask(Need::StampChanges(id, bare));
            return false;
        }
        if !named {
            return false;
        }
        let number = self.draft(id).map_or(0, |(_, build)| build.number);
        if self.comes_after_another(builder, number) {
            // So that its own details are there by then.
            self.is_read(id);
            return false;
        }
        let Some(mut build) = self.pending.remove(&id) else { return false };
        let earlier = self.world.recent.get(&builder).into_iter().flatten();
        let earlier = earlier.filter(|f| f.number < build.number).map(|f| &f.heads);
        build.changes = cut(changes, earlier);
        build.buildset = buildset;
        self.name(&mut build);
        let h = &mut self.world.highest;
        seen::mark(&mut h.build.0, &mut h.seen_builds, id.0);
        self.effects.dirty.meta = true;
        let steps = std::mem::take(&mut build.steps);
        self.emit(Event::BuildStarted { build: Box::new(build.clone()) });
        self.world.open.insert(id, build);
        self.effects.dirty.open.insert(id);
        for step in steps {
            self.journal_step(id, step);
        }
        true
    }

    /// Builder, tags and worker of a build, by the lists.
    fn name(&self, build: &mut Build) {
        let id = build.builder.id;
        if let Some(builder) = self.world.builders.get(&id) {
            build.builder =
                BuilderRef { id, name: builder.name.clone(), tags: builder.tags.clone() };
        } else if build.builder.name.as_str().is_empty() {
            let name = build.properties.text("buildername");
            build.builder.name = name.unwrap_or_else(|| format!("builder {id}")).into();
        }
        if let Some(WorkerRef { id, name }) = &mut build.worker {
            if let Some(worker) = self.world.workers.get(id) {
                name.clone_from(&worker.name);
            } else if name.is_empty() {
                let known = build.properties.text("workername");
                *name = known.unwrap_or_else(|| format!("worker {id}"));
            }
        }
    }

    /// Whether a build has ended and all of its own is known; asks for what is missing.
    fn is_read(&mut self, id: BuildId) -> bool {
        let Some((draft, build)) = self.draft(id) else { return false };
        if draft.done.is_none() {
            return false;
        }
        let complete =
            |s: &model::Step| s.complete_at.is_some() && s.logs.iter().all(|l| l.complete);
        let read = draft.whole || draft.trusted && build.steps.iter().all(complete);
        if !read {
            draft.trusted = false;
            self.ask(Need::Build(id));
        }
        read
    }

    /// Whether a build has ended, all of it is known and none comes before it; asks for what is missing.
    fn may_finish(&mut self, id: BuildId) -> bool {
        if !self.is_read(id) {
            return false;
        }
        let Some((draft, build)) = self.draft(id) else { return false };
        let (number, builder, known) = (build.number, build.builder.id, draft.previous.is_some());
        if self.comes_after_another(builder, number) {
            return false;
        }
        if !known {
            let Some(previous) = self.outcome_before(builder, number) else {
                self.ask(Need::Previous(id, builder, number));
                return false;
            };
            if let Some((draft, _)) = self.draft(id) {
                draft.previous = Some(previous);
            }
        }
        true
    }

    /// The outcome before a build of a builder, if the world is sure of it.
    fn outcome_before(&self, builder: BuilderId, number: u64) -> Option<Option<Outcome>> {
        if number <= 1 {
            return Some(None);
        }
        let recent = self.world.recent.get(&builder)?;
        let before = recent.iter().rev().find(|f| f.number < number)?;
        // While history is still loaded, one between may be missing.
        let sure = self.world.highest.history.0 == 0 || before.number + 1 == number;
        sure.then_some(Some(before.outcome))
    }

    /// A builder's builds that are not journaled as finished, in order: key, number, whether it has ended.
    fn drafts_of(&self, builder: BuilderId) -> impl Iterator<Item = (BuildId, u64, bool)> {
        self.drafts.iter().filter_map(move |(id, draft)| {
            let build = self.pending.get(id).or_else(|| self.world.open.get(id))?;
            let own = draft.row && build.builder.id == builder;
            own.then_some((*id, build.number, draft.done.is_some()))
        })
    }

    /// Whether a build of the builder that has ended before is still to be journaled: details of it are being read.
    /// What comes after it on the builder would be told before it.
    fn comes_after_another(&self, builder: BuilderId, number: u64) -> bool {
        self.drafts_of(builder).any(|(_, earlier, ended)| ended && earlier < number)
    }

    /// The builds that wait for the end of this one to be journaled.
    fn waiting_for(&self, builder: BuilderId, number: u64) -> Vec<BuildId> {
        let mut waiting = Vec::new();
        for (id, _, ended) in self.drafts_of(builder).filter(|(_, n, _)| *n > number) {
            waiting.push(id);
            // The others wait for that one.
            if ended {
                break;
            }
        }
        waiting
    }

    /// Journals the end of a build.
    fn finish(&mut self, id: BuildId) {
        let Some(Draft { done: Some(done), previous, .. }) = self.drafts.remove(&id) else {
            return;
        };
        let Some(mut build) = self.world.open.remove(&id) else { return };
        build.previous = previous.flatten();
        build.outcome = Some(done.outcome);
        build.complete_at = Some(done.at);
        build.text = done.text;
        self.name(&mut build);
        for step in &build.steps {
            self.steps.remove(&step.id);
            self.orphans.remove(&step.id);
        }
        self.remember(&build);
        self.effects.dirty.open.insert(id);
        let request = build.request;
        if let Some(buildset) = self.world.buildsets.get_mut(&build.buildset.id) {
            buildset.builds.push(id);
            self.effects.dirty.buildsets.insert(buildset.id);
        }
        self.emit(Event::BuildFinished { build: Box::new(build) });
        self.advance_request(request);
    }

    fn remember(&mut self, build: &Build) {
        let Some(outcome) = build.outcome else { return };
        let finished = Finished { number: build.number, outcome, heads: heads(&build.changes) };
        self.world.remember(build.builder.id, finished);
        self.effects.dirty.recent.insert(build.builder.id);
    }

    /// Finished builds of the past: no events.
    pub(super) fn history(&mut self, builds: Vec<Build>, below: BuildId) {
        for mut build in builds {
            if self.drafts.contains_key(&build.id) {
                continue;
            }
            self.name(&mut build);
            self.remember(&build);
            self.effects.history.push(build);
        }
        self.world.highest.history = below;
        self.effects.dirty.meta = true;
    }
}
