//! The index in memory that all pages are made from: what [`feed::Feed`] told, compact.
//!
//! Builds are kept slim ([`BuildRow`]) with shared names; a finished build's full form is packed
//! and opened for its own page only ([`View::full`]). [`View::apply`] does work that does not
//! grow with history. [`Shared`] is the view that pages read while [`follow`] writes it.

mod apply;
mod builder;
mod follow;
mod names;
mod rows;

pub use builder::{Activity, BuilderView};
pub use follow::{Limits, Shared, follow};
pub use names::Name;
pub use rows::{BuildRow, LogRow, StampRow, StepRow, slim};

use master::MasterState;
use model::{
    Build, BuildId, BuilderId, Buildset, BuildsetId, Change, ChangeId, Position, Request,
    RequestId, Timestamp, Worker, WorkerId, natural_cmp,
};
use names::Names;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

/// Something that happened to a builder or worker and is no build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// The builders in whose columns it stands; empty means all.
    pub builders: Box<[BuilderId]>,
    /// What: `w1 disconnected`, `builder added`.
    pub text: Name,
}

/// What is so, and what was, as far as memory goes.
#[derive(Debug, Default)]
pub struct View {
    limits: Limits,
    generation: u64,
    position: Position,
    names: Names,
    meta: Meta,
    state: MasterState,
    builders: BTreeMap<BuilderId, BuilderView>,
    by_name: HashMap<model::BuilderName, BuilderId>,
    order: Vec<BuilderId>,
    builds: BTreeMap<BuildId, Arc<BuildRow>>,
    open: BTreeMap<BuildId, Build>,
    changes: BTreeMap<ChangeId, Arc<Change>>,
    workers: BTreeMap<WorkerId, Worker>,
    requests: BTreeMap<RequestId, Request>,
    buildsets: BTreeMap<BuildsetId, Buildset>,
    happenings: VecDeque<Happening>,
    /// Finished builds but each builder's highest one: those that may be dropped.
    spare: BTreeSet<BuildId>,
    /// The highest key of a build that was dropped, so that the journal holds older ones.
    forgot: Option<BuildId>,
}

/// What the master says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Title of its project.
    pub title: String,
    /// The project's home page.
    pub title_url: String,
    /// The master's own pages.
    pub buildbot_url: String,
    /// Buildbot's version.
    pub version: String,
}

/// Down to when all builds are known of those that began between `first` and `last`, if none takes
/// longer than `longest` seconds; but never more than a quarter of that time later. A full minute,
/// as pages measure.
pub fn margin(first: Timestamp, last: Timestamp, longest: u64) -> Timestamp {
    let later = longest.min(last.seconds_since(first) / 4);
    let at = first.0.saturating_add_unsigned(later);
    Timestamp(at.saturating_add(59).div_euclid(60) * 60)
}

impl View {
    /// Rises with every change of the view; pages made from the same generation are the same
    /// but for the clock.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The last record of the journal that is part of it.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What the master says of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How the connection to the master stands.
    pub fn master(&self) -> &MasterState {
        &self.state
    }

    /// Builders that are configured, in natural order of their names.
    pub fn builders(&self) -> impl DoubleEndedIterator<Item = &BuilderView> + Clone {
        self.order.iter().filter_map(|id| self.builders.get(id))
    }

    /// A builder by its name, one that is no longer configured included.
    pub fn builder(&self, name: &str) -> Option<&BuilderView> {
        self.builders.get(self.by_name.get(name)?)
    }

    /// A builder by its key.
    pub fn builder_by_id(&self, id: BuilderId) -> Option<&BuilderView> {
        self.builders.get(&id)
    }

    /// A build by its key.
    pub fn build(&self, id: BuildId) -> Option<&Arc<BuildRow>> {
        self.builds.get(&id)
    }

    /// All builds in memory, highest key first, running ones included.
    pub fn builds(&self) -> impl DoubleEndedIterator<Item = &Arc<BuildRow>> {
        self.builds.values().rev()
    }

    /// Down to when memory holds all builds; the journal has older ones. `None` where memory
    /// holds all there are.
    pub fn horizon(&self) -> Option<Timestamp> {
        let forgot = self.forgot?;
        // Builds begin in the order of their keys. One that takes long ends among later ones:
        // as long as the longest that is known counts as usual. A builder's last build stays
        // when those around it are dropped, so what is below them does not count.
        let finished = || self.builds.values().filter(|b| b.outcome.is_some());
        let last = finished().next_back()?.started_at;
        let above = (Bound::Excluded(forgot), Bound::Unbounded);
        let first = self.builds.range(above).map(|(_, b)| b).find(|b| b.outcome.is_some());
        let first = first.map_or(last, |b| b.started_at);
        let longest = finished().map(|b| b.seconds(b.started_at)).max()?;
        Some(margin(first, last, longest))
    }

    /// Running builds, highest key first.
    pub fn running(&self) -> impl Iterator<Item = &Arc<BuildRow>> {
        self.open.keys().rev().filter_map(|id| self.builds.get(id))
    }

    /// A build with everything that is known of it: properties, URLs, changes.
    pub fn full(&self, id: BuildId) -> Option<Build> {
        match self.open.get(&id) {
            Some(build) => Some(build.clone()),
            None => self.builds.get(&id)?.unpack(),
        }
    }

    /// Changes, highest key first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Arc<Change>> + Clone {
        self.changes.values().rev()
    }

    /// A change by its key.
    pub fn change(&self, id: ChangeId) -> Option<&Arc<Change>> {
        self.changes.get(&id)
    }

    /// Workers, by key.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// A worker by its name.
    pub fn worker(&self, name: &str) -> Option<&Worker> {
        self.workers.values().find(|w| w.name == name)
    }

    /// Requests of a builder that no build serves yet, oldest first.
    pub fn pending(&self, builder: BuilderId) -> impl Iterator<Item = &Request> {
        let waits = move |r: &&Request| r.builder == builder && !r.claimed;
        self.requests.values().filter(waits)
    }

    /// The buildset of a request that waits or runs.
    pub fn buildset(&self, id: BuildsetId) -> Option<&Buildset> {
        self.buildsets.get(&id)
    }

    /// What a builder does at present.
    pub fn activity(&self, builder: &BuilderView) -> Activity {
        let id = builder.builder.id;
        if builder.open > 0 {
            Activity::Building
        } else if self.workers.values().any(|w| w.connected && w.builders.contains(&id)) {
            Activity::Idle
        } else {
            Activity::Offline
        }
    }

    /// What happened besides builds, newest first.
    pub fn happenings(&self) -> impl Iterator<Item = &Happening> {
        self.happenings.iter().rev()
    }

    fn reorder(&mut self) {
        let mut order: Vec<&BuilderView> =
            self.builders.values().filter(|b| b.builder.configured).collect();
        order.sort_by(|a, b| natural_cmp(a.name(), b.name()));
        self.order = order.into_iter().map(|b| b.builder.id).collect();
    }
}
