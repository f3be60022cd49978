//! Build requests and buildsets.

use super::{Assembler, Need, seen};
use model::{Buildset, BuildsetId, Event, Outcome, Properties, Request, RequestId, Timestamp};

/// What is known of a request that is not journaled as complete.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    request: Option<Request>,
    /// Whether it is open for the journal; otherwise only a build's details need it.
    pub announce: bool,
    /// Whether a build was made of it, if that is known.
    pub built: Option<bool>,
}

impl Ask {
    pub(super) fn new(announce: bool) -> Self {
        Self { request: None, announce, built: None }
    }

    pub(super) fn journaled(request: Request) -> Self {
        Self { request: Some(request), announce: true, built: None }
    }
}

/// What is known of a buildset that is not journaled as complete.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    /// The buildset, until it is journaled; from then on the world has it.
    buildset: Option<Buildset>,
    properties: bool,
    /// Whether it is open for the journal; otherwise only a build's details need it.
    pub announce: bool,
    /// Whether all its frames came in one unbroken connection.
    pub trusted: bool,
    /// Whether all its requests were read since the last gap.
    pub confirmed: bool,
    /// How it ended.
    done: Option<(Outcome, Timestamp)>,
}

impl Set {
    pub(super) fn journaled() -> Self {
        Self { properties: true, announce: true, ..Self::default() }
    }

    /// Of which only the key is known, and that it is to be journaled.
    pub(super) fn unread() -> Self {
        Self { announce: true, ..Self::default() }
    }
}

/// How requests' outcomes make a buildset's, from bad to good.
/// Source: `buildbot.process.results.worst_status`.
fn worst(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    const WORST: [Outcome; 7] = [
        Outcome::Cancelled,
        Outcome::Retry,
        Outcome::Exception,
        Outcome::Failure,
        Outcome::Warnings,
        Outcome::Success,
        Outcome::Skipped,
    ];
    let rank = |o: &Outcome| WORST.iter().position(|w| w == o).unwrap_or(WORST.len());
    // The master begins with a success, so that skipped requests alone make one.
    outcomes.chain([Outcome::Success]).min_by_key(rank).unwrap_or(Outcome::Success)
}

impl Assembler {
    /// A request, of a frame or a list.
    pub(super) fn request(&mut self, request: Request) {
        let id = request.id;
        self.asked.remove(&Need::Request(id));
        if !self.asks.contains_key(&id) && !self.is_new_request(id) {
            return;
        }
        let ask = self.begin_request(id);
        if ask.request.as_ref().is_some_and(|known| known.outcome.is_some()) {
            return self.advance_request(id);
        }
        ask.request = Some(request);
        self.advance_request(id);
        self.advance_builds();
    }

    fn is_new_request(&self, id: RequestId) -> bool {
        let h = self.world.highest;
        !seen::is_seen(h.request.0, h.seen_requests, id.0)
    }

    /// A request, begun if there is none.
    fn begin_request(&mut self, id: RequestId) -> &mut Ask {
        let new = self.is_new_request(id);
        self.asks.entry(id).or_insert_with(|| {
            // A survey may not come to it again.
            self.effects.dirty.meta |= new && id <= self.world.highest.request;
            Ask::new(new)
        })
    }

    /// Something became of a request.
    pub(super) fn request_hint(&mut self, id: RequestId) {
        if self.asks.contains_key(&id) || self.is_new_request(id) {
            self.ask(Need::Request(id));
        }
    }

    /// Whether a build was made of a request.
    pub(super) fn request_built(&mut self, id: RequestId, built: bool) {
        self.asked.remove(&Need::RequestBuilt(id));
        if let Some(ask) = self.asks.get_mut(&id) {
            ask.built = Some(built || ask.built == Some(true));
            self.advance_request(id);
        }
    }

    /// The buildset of a build's request; `None` and asked for while it is not there.
    pub(super) fn buildset_of(&mut self, request: RequestId) -> Option<Buildset> {
        if request.0 == 0 {
            return Some(Buildset::default());
        }
        let ask = self.begin_request(request);
        ask.built = Some(true);
        let Some(known) = &ask.request else {
            self.ask(Need::Request(request));
            return None;
        };
        let (id, announce) = (known.buildset, ask.announce);
        if id.0 == 0 {
            return Some(Buildset::default());
        }
        if announce {
            self.advance_request(request);
            // A buildset is journaled before its requests, and they before their builds.
            if !self.world.requests.contains_key(&request) {
                return None;
            }
        }
        if let Some(buildset) = self.world.buildsets.get(&id) {
            return Some(Buildset { builds: Vec::new(), ..buildset.clone() });
        }
        self.details(id, announce);
        let set = self.sets.get(&id)?;
        set.buildset.clone().filter(|_| set.properties)
    }

    fn is_new_set(&self, id: BuildsetId) -> bool {
        let h = self.world.highest;
        !seen::is_seen(h.buildset.0, h.seen_buildsets, id.0)
    }

    /// A buildset, begun as `unknown` if there is none.
    fn begin_set(&mut self, id: BuildsetId, unknown: Set) -> &mut Set {
        self.sets.entry(id).or_insert_with(|| {
            // A survey may not come to it again.
            self.effects.dirty.meta |= unknown.announce && id <= self.world.highest.buildset;
            unknown
        })
    }

    /// Begins to gather a buildset's details, and asks for what is missing.
    fn details(&mut self, id: BuildsetId, announce: bool) {
        let announce = announce || self.is_new_set(id);
        let journaled = self.world.buildsets.contains_key(&id);
        let set = self.begin_set(id, Set { announce, ..Set::default() });
        if set.buildset.is_none() && !journaled {
            self.ask(Need::Buildset(id));
        } else if !set.properties {
            self.ask(Need::BuildsetProperties(id));
        }
    }

    /// Journals the transitions of a request, as soon as all before them are journaled.
    pub(super) fn advance_request(&mut self, id: RequestId) {
        let Some(ask) = self.asks.get(&id) else { return };
        let (Some(request), built) = (ask.request.clone(), ask.built) else { return };
        if !ask.announce {
            let needed = self.pending.values().any(|b| b.request == id);
            if !needed {
                self.asks.remove(&id);
            }
            return;
        }
        if !self.world.requests.contains_key(&id) {
            if request.buildset.0 != 0 && !self.world.buildsets.contains_key(&request.buildset) {
                self.details(request.buildset, true);
                // That may have journaled it.
                self.advance_set(request.buildset);
                if !self.world.buildsets.contains_key(&request.buildset) {
                    return;
                }
            }
            if self.world.requests.contains_key(&id) || !self.asks.contains_key(&id) {
                return;
            }
            let open = Request { complete_at: None, outcome: None, ..request };
            let h = &mut self.world.highest;
            seen::mark(&mut h.request.0, &mut h.seen_requests, id.0);
            self.effects.dirty.meta = true;
            self.effects.dirty.requests.insert(id);
            self.world.requests.insert(id, open.clone());
            self.emit(Event::RequestSubmitted { request: open });
        }
        let Some(row) = self.world.requests.get_mut(&id) else { return };
        if row.claimed != request.claimed {
            row.claimed = request.claimed;
            self.effects.dirty.requests.insert(id);
        }
        let Some(outcome) = request.outcome else { return };
        // Its builds end before it does.
        let builds = self.pending.values().chain(self.world.open.values());
        if builds.filter(|b| b.request == id).count() > 0 {
            return;
        }
        if outcome == Outcome::Cancelled && built.is_none() {
            return self.ask(Need::RequestBuilt(id));
        }
        let cancelled = outcome == Outcome::Cancelled && built == Some(false);
        self.world.requests.remove(&id);
        self.asks.remove(&id);
        self.effects.dirty.requests.insert(id);
        let buildset = request.buildset;
        if let Some(set) = self.sets.get_mut(&buildset).filter(|set| set.done.is_none()) {
            set.confirmed = false;
        }
        self.emit(if cancelled {
            Event::RequestCancelled { request }
        } else {
            Event::RequestCompleted { request }
        });
        self.advance_set(buildset);
    }

    /// A buildset, of a frame or a list; `whole` if its properties are in it.
    pub(super) fn buildset(&mut self, mut buildset: Buildset, whole: bool, frame: bool) {
        let id = buildset.id;
        self.asked.remove(&Need::Buildset(id));
        let new = self.is_new_set(id);
        let trusted = frame && self.live;
        let journaled = self.world.buildsets.contains_key(&id);
        if !self.sets.contains_key(&id) && !new {
            return;
        }
        let set = self.begin_set(id, Set { announce: new, trusted, ..Set::default() });
        if let (Some(outcome), Some(at)) = (buildset.outcome, buildset.complete_at) {
            set.done.get_or_insert((outcome, at));
        }
        if !journaled {
            (buildset.outcome, buildset.complete_at) = (None, None);
            if let Some(known) = set.buildset.take().filter(|_| !whole) {
                buildset.properties = known.properties;
            }
            set.properties |= whole;
            set.buildset = Some(buildset);
        }
        self.set_changed(id);
    }

    /// A buildset's properties.
    pub(super) fn buildset_properties(&mut self, id: BuildsetId, properties: Properties) {
        self.asked.remove(&Need::BuildsetProperties(id));
        let Some(set) = self.sets.get_mut(&id) else { return };
        if let Some(buildset) = &mut set.buildset {
            buildset.properties = properties;
            set.properties = true;
        }
        self.set_changed(id);
    }

    fn set_changed(&mut self, id: BuildsetId) {
        self.advance_set(id);
        let requests = self.requests_in(id);
        requests.into_iter().for_each(|request| self.advance_request(request));
        self.advance_builds();
        if self.sets.get(&id).is_some_and(|set| !set.announce) {
            let needed = |b: &model::Build| {
                self.asks.get(&b.request).and_then(|a| a.request.as_ref()).map(|r| r.buildset)
                    == Some(id)
            };
            if !self.pending.values().any(needed) {
                self.sets.remove(&id);
            }
        }
    }

    /// Known requests of a buildset that are not journaled as complete.
    fn requests_in(&self, id: BuildsetId) -> Vec<RequestId> {
        let of = |ask: &Ask| ask.request.as_ref().is_some_and(|r| r.buildset == id);
        self.asks.iter().filter(|(_, ask)| of(ask)).map(|(id, _)| *id).collect()
    }

    /// All requests of a buildset, as REST has them.
    pub(super) fn requests_of(&mut self, id: BuildsetId, requests: &[Request]) {
        if !self.sets.contains_key(&id) {
            return;
        }
        // Each of them is known before the buildset may be complete.
        requests.iter().for_each(|request| self.request(request.clone()));
        self.asked.remove(&Need::Requests(id));
        let Some(set) = self.sets.get_mut(&id) else { return };
        set.confirmed = true;
        if set.done.is_none() && requests.iter().all(|r| r.outcome.is_some()) {
            let at = requests.iter().filter_map(|r| r.complete_at).max();
            let begun = self.world.buildsets.get(&id).map(|b| b.submitted_at);
            let at = at.or(begun).unwrap_or_default();
            set.done = Some((worst(requests.iter().filter_map(|r| r.outcome)), at));
        }
        self.advance_set(id);
    }

    /// Journals the transitions of a buildset.
    pub(super) fn advance_set(&mut self, id: BuildsetId) {
        let Some(set) = self.sets.get_mut(&id).filter(|set| set.announce) else { return };
        if !self.world.buildsets.contains_key(&id) {
            if set.buildset.is_none() || !set.properties {
                return self.details(id, true);
            }
            let Some(buildset) = set.buildset.take() else { return };
            let h = &mut self.world.highest;
            seen::mark(&mut h.buildset.0, &mut h.seen_buildsets, id.0);
            self.effects.dirty.meta = true;
            self.effects.dirty.buildsets.insert(id);
            self.world.buildsets.insert(id, buildset.clone());
            self.emit(Event::BuildsetSubmitted { buildset: Box::new(buildset) });
            for request in self.requests_in(id) {
                self.advance_request(request);
            }
        }
        if !self.requests_in(id).is_empty() {
            return;
        }
        let Some(set) = self.sets.get(&id) else { return };
        match set.done {
            Some((outcome, at)) if set.trusted || set.confirmed => {
                self.sets.remove(&id);
                let Some(mut buildset) = self.world.buildsets.remove(&id) else { return };
                (buildset.outcome, buildset.complete_at) = (Some(outcome), Some(at));
                self.effects.dirty.buildsets.insert(id);
                self.emit(Event::BuildsetCompleted { buildset: Box::new(buildset) });
            }
            _ if set.trusted || set.confirmed => {}
            _ => self.ask(Need::Requests(id)),
        }
    }
}
