//! REST that tells what was so when it was asked: behind the frames that came since, or ahead of
//! those on their way. What runs is open in it, with the steps that it has by then.

use super::{CAPTURE, Journal};
use crate::{
    assembler::{Need, Observation},
    capture::Capture,
};
use model::{Build, BuildId, Buildset, BuildsetId, Properties, Request, RequestId};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::LazyLock,
};

/// After how many frames a thing is as it will stay.
#[derive(Default)]
struct Settled {
    builds: BTreeMap<BuildId, usize>,
    requests: BTreeMap<RequestId, usize>,
    buildsets: BTreeMap<BuildsetId, usize>,
}

static SETTLED: LazyLock<Settled> = LazyLock::new(|| {
    let mut settled = Settled::default();
    for (index, (_, frame)) in CAPTURE.frames.iter().enumerate() {
        let after = index + 1;
        match frame {
            Observation::Build { build, .. } => settled.builds.insert(build.id, after),
            Observation::BuildHint(id) => settled.builds.insert(*id, after),
            Observation::Request(request) => settled.requests.insert(request.id, after),
            Observation::RequestHint(id) => settled.requests.insert(*id, after),
            Observation::Buildset { buildset, .. } => settled.buildsets.insert(buildset.id, after),
            _ => None,
        };
    }
    settled
});

/// Rows as they were first told.
#[derive(Default)]
struct First {
    builds: BTreeMap<BuildId, Build>,
    requests: BTreeMap<RequestId, Request>,
    buildsets: BTreeMap<BuildsetId, Buildset>,
}

static FIRST: LazyLock<First> = LazyLock::new(|| {
    let mut first = First::default();
    for (_, frame) in &CAPTURE.frames {
        match frame {
            Observation::Build { build, .. } => {
                first.builds.entry(build.id).or_insert_with(|| (**build).clone());
            }
            Observation::Request(request) => {
                first.requests.entry(request.id).or_insert_with(|| request.clone());
            }
            Observation::Buildset { buildset, .. } => {
                let properties = CAPTURE.buildsets[&buildset.id].properties.clone();
                let set = Buildset { properties, ..(**buildset).clone() };
                first.buildsets.entry(set.id).or_insert(set);
            }
            _ => {}
        }
    }
    first
});

/// The master writes a buildset and its requests at once, before it tells of the first of them.
fn submitted(then: &mut Capture, id: BuildsetId) {
    if let Some(set) = FIRST.buildsets.get(&id) {
        then.buildsets.entry(id).or_insert_with(|| set.clone());
    }
    for request in FIRST.requests.values().filter(|request| request.buildset == id) {
        then.requests.entry(request.id).or_insert_with(|| request.clone());
    }
}

/// The master as it was after the first `count` frames.
fn as_of(count: usize) -> Capture {
    let mut then = Capture {
        builds: BTreeMap::new(),
        requests: BTreeMap::new(),
        buildsets: BTreeMap::new(),
        ..CAPTURE.clone()
    };
    let mut properties: BTreeMap<BuildId, Properties> = BTreeMap::new();
    for (_, frame) in &CAPTURE.frames[..count] {
        match frame {
            Observation::Build { build, .. } => {
                let steps = then.builds.remove(&build.id).map(|b: Build| b.steps);
                let steps = steps.unwrap_or_default();
                then.builds.insert(build.id, Build { steps, ..(**build).clone() });
            }
            Observation::Properties(id, set) => {
                // The row is written before its first properties, and those before it is told.
                if let Some(first) = FIRST.builds.get(id) {
                    then.builds.entry(*id).or_insert_with(|| first.clone());
                }
                properties.entry(*id).or_default().0.extend(set.0.clone());
            }
            Observation::Step(id, step) => {
                let Some(build) = then.builds.get_mut(id) else { continue };
                match build.steps.iter_mut().find(|known| known.id == step.id) {
                    Some(known) => {
                        let logs = std::mem::take(&mut known.logs);
                        *known = model::Step { logs, ..(**step).clone() };
                    }
                    None => build.steps.push((**step).clone()),
                }
            }
            Observation::Log(step, log, _) => {
                let mut steps = then.builds.values_mut().flat_map(|build| &mut build.steps);
                let Some(step) = steps.find(|known| known.id == *step) else { continue };
                step.logs.retain(|known| known.id != log.id);
                step.logs.push(log.clone());
            }
            Observation::Request(request) => {
                submitted(&mut then, request.buildset);
                then.requests.insert(request.id, request.clone());
            }
            Observation::Buildset { buildset, .. } => submitted(&mut then, buildset.id),
            _ => {}
        }
    }
    for (id, build) in &mut then.builds {
        build.properties.0.extend(properties.remove(id).unwrap_or_default().0);
    }
    // What no frame tells of came and went in between: it is there with the last one.
    let whole = CAPTURE.frames.len();
    let is = |after: Option<&usize>| *after.unwrap_or(&whole) <= count;
    for (id, build) in CAPTURE.builds.iter().filter(|(id, _)| is(SETTLED.builds.get(id))) {
        then.builds.insert(*id, build.clone());
    }
    for (id, request) in CAPTURE.requests.iter().filter(|(id, _)| is(SETTLED.requests.get(id))) {
        then.requests.insert(*id, request.clone());
    }
    for (id, set) in CAPTURE.buildsets.iter().filter(|(id, _)| is(SETTLED.buildsets.get(id))) {
        then.buildsets.insert(*id, set.clone());
    }
    let builds = &then.builds;
    then.changes_of.retain(|id, _| builds.contains_key(id));
    then
}

/// A journal, how many frames its master has sent, and what it has asked for, since when.
#[derive(Default)]
struct Session {
    journal: Journal,
    sent: usize,
    /// How many it had made when REST was asked last: time does not run backwards.
    told: usize,
    asked: VecDeque<(usize, Need)>,
}

impl Session {
    fn see(&mut self, observation: Observation) {
        self.journal.see(observation);
        let needs = std::mem::take(&mut self.journal.needs);
        let now = self.now();
        self.asked.extend(needs.into_iter().map(|need| (now, need)));
    }

    /// The master's time, in frames.
    fn now(&self) -> usize {
        self.sent.max(self.told)
    }

    fn lists(&mut self) {
        self.see(Observation::Builders(CAPTURE.builders.clone()));
        self.see(Observation::Workers(CAPTURE.workers.clone()));
    }

    fn frame(&mut self) -> bool {
        let Some((_, frame)) = CAPTURE.frames.get(self.sent) else { return false };
        self.sent += 1;
        self.see(frame.clone());
        true
    }

    /// The master's time of an answer: `share` of the way from the question to now, or `ahead`
    /// frames that are still on their way.
    fn time(&mut self, asked: usize, share: f64, ahead: usize) -> usize {
        if ahead > 0 {
            self.told = (self.now() + ahead).min(CAPTURE.frames.len());
            return self.told;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small numbers"
        )]
        let later = ((self.now() - asked) as f64 * share) as usize;
        asked + later
    }

    /// Answers what is asked for at present, and what follows from that.
    fn answer(&mut self, share: f64, ahead: usize) {
        let mut truths: BTreeMap<usize, Capture> = BTreeMap::new();
        let mut ahead = ahead;
        while let Some((asked, need)) = self.asked.pop_front() {
            let at = self.time(asked, share, ahead);
            // What follows is asked after that.
            ahead = ahead.min(1);
            let seen = truths.entry(at).or_insert_with(|| as_of(at)).meet(need);
            self.see(seen);
        }
    }

    /// Frames were lost, and REST tells what they told; each list a few frames later than the one
    /// before, as reading takes its time, while the frames of meanwhile wait.
    fn survey(&mut self, slow: usize) {
        self.see(Observation::Disconnected);
        self.asked.clear();
        self.lists();
        let mut at = self.now();
        let mut later = || {
            let truth = as_of(at);
            at = (at + slow).min(CAPTURE.frames.len());
            truth
        };
        for set in later().buildsets.into_values() {
            let set = Buildset { properties: Properties::default(), ..set };
            let buildset = Box::new(set);
            self.see(Observation::Buildset { buildset, whole: false, frame: false });
        }
        for build in later().builds.into_values() {
            let row = Build { steps: vec![], properties: Properties::default(), ..build };
            self.see(Observation::Build { build: Box::new(row), frame: false });
        }
        for request in later().requests.into_values() {
            self.see(Observation::Request(request));
        }
        let truth = later();
        self.told = at;
        for build in self.journal.assembler.unfinished() {
            self.see(truth.meet(Need::Build(build)));
        }
        for request in self.journal.assembler.unfinished_requests() {
            self.see(truth.meet(Need::Request(request)));
        }
        self.answer(1.0, slow);
        self.see(Observation::CaughtUp);
        self.answer(1.0, slow);
    }
}

/// What happens on the way.
#[derive(Clone, Debug)]
enum Step {
    /// So many frames come.
    Frames(usize),
    /// So many are lost with the connection; REST is read over so many frames for each list.
    Cut(usize, usize),
    /// The process is killed as well.
    Killed(usize, usize),
    /// A frame of the past comes again.
    Again(prop::sample::Index),
    /// REST answers what was asked, as it was some time since.
    Late(f64),
    /// REST answers with what frames have yet to tell.
    Ahead(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..150_usize).prop_map(Step::Frames),
        1 => (0..150_usize, 0..20_usize).prop_map(|(lost, slow)| Step::Cut(lost, slow)),
        1 => (0..150_usize, 0..20_usize).prop_map(|(lost, slow)| Step::Killed(lost, slow)),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
        2 => (0.0..=1.0).prop_map(Step::Late),
        2 => (1..60_usize).prop_map(Step::Ahead),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rest_that_is_behind_or_ahead_of_the_frames_loses_nothing_and_repeats_nothing(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut session = Session::default();
        session.lists();
        session.see(Observation::CaughtUp);
        for step in steps {
            match step {
                Step::Frames(count) => {
                    for _ in 0..count {
                        session.frame();
                    }
                }
                Step::Cut(lost, slow) | Step::Killed(lost, slow) => {
                    if matches!(step, Step::Killed(..)) {
                        session.journal.restart();
                    }
                    session.sent = (session.now() + lost).min(CAPTURE.frames.len());
                    session.survey(slow);
                }
                Step::Again(index) => {
                    if session.sent > 0 {
                        let again = CAPTURE.frames[index.index(session.sent)].1.clone();
                        // Properties are increments; and a worker's frame is a state, not a row.
                        if !matches!(again, Observation::Properties(..)) {
                            session.see(again);
                        }
                    }
                }
                Step::Late(share) => session.answer(share, 0),
                Step::Ahead(ahead) => session.answer(1.0, ahead),
            }
        }
        while session.frame() {}
        session.answer(1.0, 0);
        session.survey(0);
        session.journal.check();
    }
}

#[test]
fn rest_as_of_the_last_frame_is_what_rest_says() {
    let then = as_of(CAPTURE.frames.len());
    assert_eq!(then.builds, CAPTURE.builds);
    assert_eq!(then.requests, CAPTURE.requests);
    assert_eq!(then.buildsets, CAPTURE.buildsets);
    let half = as_of(CAPTURE.frames.len() / 2);
    let open = half.builds.values().filter(|build| build.outcome.is_none()).count();
    assert!(half.builds.len() < then.builds.len() && open > 0, "{open} open in the middle");
}
