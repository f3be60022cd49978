//! Assembles frames and REST answers into complete events. Pure: no I/O, no clock.
//!
//! Level-triggered: an observation is merged into what is known, and an event follows only
//! from a transition that was not journaled. The [`World`] *is* the record of what was
//! journaled: an open build in it has its start journaled, a step in that its start, and so
//! on. So repeated, late and lost observations come to the same end, and after a restart
//! the journal's world is all that is needed to go on.
//!
//! A build is held back until its details are there (buildset, changes), and its end until
//! everything of it is. Frames of one unbroken connection are complete and in order; a build
//! that was running at any other time is read whole over REST when it has ended.

mod builds;
mod changes;
mod farm;
mod observation;
mod order;
mod requests;
mod seen;
mod steps;
#[cfg(test)]
mod tests;

pub(crate) use changes::{cut, heads};
pub use observation::{Effects, Need, Observation};
pub(crate) use order::{by_time, present};

use crate::Known;
use builds::Draft;
use model::{
    Build, BuildId, BuilderId, BuildsetId, Event, Log, Request, RequestId, StepId, WorkerId, World,
};
use requests::{Ask, Set};
use std::collections::{BTreeMap, BTreeSet};

/// Most logs that are kept for steps not seen yet.
const MAX_ORPHANS: usize = 10_000;

/// The state of a master, and what changes it.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    world: World,
    /// Whether frames are complete at present.
    live: bool,
    /// Every build that is not journaled as finished.
    drafts: BTreeMap<BuildId, Draft>,
    /// Those of them whose start is not journaled; the others are in the world.
    pending: BTreeMap<BuildId, Build>,
    /// Every buildset that is open or needed by a draft.
    sets: BTreeMap<BuildsetId, Set>,
    /// Every request that is open or needed by a draft.
    asks: BTreeMap<RequestId, Ask>,
    /// Whose steps they are, of all drafts.
    steps: BTreeMap<StepId, BuildId>,
    /// Logs whose step was not seen yet.
    orphans: BTreeMap<StepId, Vec<Log>>,
    /// Needs not answered yet.
    asked: BTreeSet<Need>,
    /// Builders and workers that the master does not list.
    unlisted_builders: BTreeSet<BuilderId>,
    unlisted_workers: BTreeSet<WorkerId>,
    effects: Effects,
}

impl Assembler {
    /// Goes on from what a journal knows.
    pub fn new(known: Known) -> Self {
        let mut this = Self { world: known.world, ..Self::default() };
        for request in this.world.requests.values() {
            this.asks.insert(request.id, Ask::journaled(request.clone()));
        }
        for id in this.world.buildsets.keys() {
            this.sets.insert(*id, Set::journaled());
        }
        this.go_on();
        for build in this.world.open.values() {
            this.drafts.insert(build.id, Draft::journaled());
            this.steps.extend(build.steps.iter().map(|s| (s.id, build.id)));
            if let Some(ask) = this.asks.get_mut(&build.request) {
                ask.built = Some(true);
            }
        }
        this
    }

    /// The state after all observations, as it is to be journaled with their effects.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Builds whose end is not known yet, journaled or held back.
    pub fn unfinished(&self) -> Vec<BuildId> {
        self.drafts.keys().copied().collect()
    }

    /// Requests whose end is not known yet, journaled or held back.
    pub fn unfinished_requests(&self) -> Vec<RequestId> {
        self.asks.iter().filter(|(_, ask)| ask.announce).map(|(id, _)| *id).collect()
    }

    /// Takes an observation.
    pub fn observe(&mut self, observation: Observation) -> Effects {
        match observation {
            Observation::Disconnected => self.disconnected(),
            Observation::Doubt => self.doubt(),
            Observation::BuildHint(id) => {
                if self.accept(id, false) {
                    self.ask(Need::Build(id));
                }
            }
            Observation::CaughtUp => self.caught_up(),
            Observation::Baseline {
                build,
                change,
                buildset,
                request,
                open_builds,
                open_requests,
            } => {
                let h = &mut self.world.highest;
                (h.build.0, h.seen_builds, h.history.0) = (build, u64::MAX, build + 1);
                (h.change.0, h.seen_changes) = (change, u64::MAX);
                (h.buildset.0, h.seen_buildsets) = (buildset, u64::MAX);
                (h.request.0, h.seen_requests) = (request, u64::MAX);
                self.effects.dirty.meta = true;
                for id in open_builds {
                    self.begin(id, false);
                }
                for id in open_requests {
                    self.asks.entry(id).or_insert_with(|| Ask::new(true));
                }
            }
            Observation::Meta { title, title_url, buildbot_url, version } => {
                let w = &mut self.world;
                let old = (&w.title, &w.title_url, &w.buildbot_url, &w.version);
                if old != (&title, &title_url, &buildbot_url, &version) {
                    (w.title, w.title_url) = (title, title_url);
                    (w.buildbot_url, w.version) = (buildbot_url, version);
                    self.effects.dirty.meta = true;
                }
            }
            Observation::Builders(all) => self.list_builders(all),
            Observation::Workers(all) => self.list_workers(all),
            Observation::Worker(worker) => self.worker(worker),
            Observation::Change(change) => self.change(*change),
            Observation::Buildset { buildset, whole, frame } => {
                self.buildset(*buildset, whole, frame);
            }
            Observation::BuildsetProperties(id, properties) => {
                self.buildset_properties(id, properties);
            }
            Observation::Request(request) => self.request(request),
            Observation::RequestHint(id) => self.request_hint(id),
            Observation::RequestBuilt(id, built) => self.request_built(id, built),
            Observation::Requests(id, requests) => self.requests_of(id, &requests),
            Observation::Build { build, frame } => self.build(*build, frame),
            Observation::Properties(id, properties) => self.properties(id, properties),
            Observation::Step(build, step) => self.step(build, *step),
            Observation::Log(step, log, appended) => self.log(step, log, appended),
            Observation::Whole(build) => self.whole(*build),
            Observation::Changes(id, changes) => self.changes(id, changes),
            Observation::StampChanges(id, changes) => self.stamp_changes(id, changes),
            Observation::Previous(id, outcome) => self.previous(id, outcome),
            Observation::Absent(need) => self.absent(&need, true),
            Observation::Unreadable(need) => self.absent(&need, false),
            Observation::History { builds, below } => self.history(builds, below),
            Observation::HistoryChanges(changes) => self.effects.history_changes.extend(changes),
        }
        if self.effects.dirty.meta {
            self.note_waiting();
        }
        std::mem::take(&mut self.effects)
    }

    /// Asks for something, unless that is under way.
    fn ask(&mut self, need: Need) {
        if self.asked.insert(need.clone()) {
            self.effects.needs.push(need);
        }
    }

    fn emit(&mut self, event: Event) {
        self.effects.events.push(event);
    }

    fn disconnected(&mut self) {
        self.live = false;
        self.asked.clear();
        self.doubt();
    }

    fn doubt(&mut self) {
        self.drafts.values_mut().for_each(|draft| draft.trusted = false);
        for set in self.sets.values_mut() {
            (set.trusted, set.confirmed) = (false, false);
        }
    }

    fn caught_up(&mut self) {
        let rowless: Vec<BuildId> =
            self.drafts.iter().filter(|(_, d)| !d.row).map(|(id, _)| *id).collect();
        for id in rowless {
            self.ask(Need::Build(id));
        }
        self.advance_all();
        self.live = true;
    }

    /// A need that cannot be met is met with nothing, so that what waits for it goes on.
    fn absent(&mut self, need: &Need, gone: bool) {
        self.asked.remove(need);
        match *need {
            Need::Builders => self.unlist_builders(),
            Need::Workers => self.unlist_workers(),
            Need::Buildset(id) => {
                let buildset = model::Buildset { id, ..model::Buildset::default() };
                self.buildset(buildset, true, false);
            }
            Need::BuildsetProperties(id) => {
                self.buildset_properties(id, model::Properties::default());
            }
            Need::Request(id) => self.request(Request { id, ..Request::default() }),
            Need::RequestBuilt(id) => self.request_built(id, false),
            Need::Requests(_) => {}
            Need::Build(id) => self.vanished(id, gone),
            Need::Changes(id) => self.changes(id, Vec::new()),
            Need::StampChanges(id, _) => self.stamp_changes(id, Vec::new()),
            Need::Previous(id, ..) => self.previous(id, None),
        }
    }

    /// Tries again whatever waits for a detail.
    fn advance_all(&mut self) {
        let sets: Vec<_> = self.sets.keys().copied().collect();
        sets.into_iter().for_each(|id| self.advance_set(id));
        let asks: Vec<_> = self.asks.keys().copied().collect();
        asks.into_iter().for_each(|id| self.advance_request(id));
        self.advance_builds();
    }
}
