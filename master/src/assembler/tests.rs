//! Proofs on the frames and the REST answers of a real master.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod as_of;
mod faults;
mod waiting;

use super::{Assembler, Effects, Need, Observation};
use crate::{Known, capture::Capture};
use model::{Build, BuildId, Event, LogKind, Outcome, Phase, Properties, World};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Read,
    sync::LazyLock,
};

static CAPTURE: LazyLock<Capture> = LazyLock::new(|| {
    let mut ws = String::new();
    let packed = include_bytes!("../../tests/data/ws.jsonl.gz");
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut ws).unwrap();
    Capture::read(
        &ws,
        include_str!("../../tests/data/rest_builds.jsonl"),
        include_str!("../../tests/data/rest_collections.jsonl"),
    )
    .unwrap()
});

/// A journal that takes what an assembler makes, and checks what every journal relies on.
#[derive(Default)]
struct Journal {
    assembler: Assembler,
    events: Vec<Event>,
    needs: VecDeque<Need>,
    asked: Vec<Need>,
}

impl Journal {
    fn see(&mut self, observation: Observation) {
        let Effects { events, needs, .. } = self.assembler.observe(observation);
        self.events.extend(events);
        self.asked.extend(needs.iter().cloned());
        self.needs.extend(needs);
    }

    /// Answers what is asked for, until nothing is.
    fn answer(&mut self) {
        while let Some(need) = self.needs.pop_front() {
            self.see(CAPTURE.meet(need));
        }
    }

    /// What a connection begins with.
    fn lists(&mut self) {
        self.see(Observation::Builders(CAPTURE.builders.clone()));
        self.see(Observation::Workers(CAPTURE.workers.clone()));
    }

    /// The reading after a gap: everything that REST has.
    fn survey(&mut self) {
        self.see(Observation::Disconnected);
        self.needs.clear();
        for build in self.assembler.unfinished() {
            self.needs.push_back(Need::Build(build));
        }
        for set in CAPTURE.buildsets.values() {
            let buildset = Box::new(set.clone());
            self.see(Observation::Buildset { buildset, whole: false, frame: false });
        }
        for build in CAPTURE.builds.values() {
            let row = Build { steps: vec![], properties: Properties::default(), ..build.clone() };
            self.see(Observation::Build { build: Box::new(row), frame: false });
        }
        for request in CAPTURE.requests.values() {
            self.see(Observation::Request(request.clone()));
        }
        self.answer();
        self.see(Observation::CaughtUp);
        self.answer();
    }

    /// The journal is written and read again: only the world survives.
    fn restart(&mut self) {
        let world = self.assembler.world().clone();
        self.assembler = Assembler::new(Known { world, ..Known::default() });
        self.needs.clear();
    }

    fn finished(&self) -> Vec<&Build> {
        let mut finished = Vec::new();
        for event in &self.events {
            if let Event::BuildFinished { build } = event {
                finished.push(build.as_ref());
            }
        }
        finished
    }

    /// All builds of the master are there once, as REST has them, and each event once.
    fn check(&self) {
        let mut ids: Vec<BuildId> = self.finished().iter().map(|b| b.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, CAPTURE.builds.keys().copied().collect::<Vec<_>>());
        for build in self.finished() {
            let truth = &CAPTURE.builds[&build.id];
            let mut told = build.clone();
            told.builder = truth.builder.clone();
            told.worker.clone_from(&truth.worker);
            (told.buildset, told.changes) = (truth.buildset.clone(), truth.changes.clone());
            told.previous = None;
            assert_eq!(told.properties, truth.properties, "build {}", build.id);
            assert_eq!(told.steps, truth.steps, "build {}", build.id);
            assert_eq!(&told, truth, "build {}", build.id);
            assert!(!build.builder.name.as_str().is_empty());
            let set = &CAPTURE.buildsets[&CAPTURE.requests[&build.request].buildset];
            assert_eq!(build.buildset.reason, set.reason);
            assert_eq!(build.buildset.properties, set.properties);
            assert_eq!(build.buildset.source_stamps, set.source_stamps);
        }
        let mut keys = BTreeSet::new();
        for event in &self.events {
            let key = event.key();
            assert!(matches!(key.0, "worker" | "builder") || keys.insert(key), "{key:?} twice");
        }
        for id in CAPTURE.builds.keys() {
            assert!(keys.contains(&("build", id.0, Phase::Started)));
        }
        let mut ended: BTreeMap<_, Vec<BuildId>> = BTreeMap::new();
        for event in &self.events {
            match event {
                Event::BuildFinished { build } => {
                    assert!(build.buildset.builds.is_empty());
                    ended.entry(build.buildset.id).or_default().push(build.id);
                }
                Event::BuildsetCompleted { buildset } => {
                    let builds = ended.get(&buildset.id).map_or(&[][..], Vec::as_slice);
                    assert_eq!(buildset.builds, builds, "buildset {}", buildset.id);
                }
                _ => {}
            }
        }
        for id in CAPTURE.requests.keys() {
            let done =
                [Phase::Finished, Phase::Cancelled].map(|p| keys.contains(&("request", id.0, p)));
            assert!(
                keys.contains(&("request", id.0, Phase::Started)) && done[0] != done[1],
                "{id}"
            );
        }
        for id in CAPTURE.buildsets.keys() {
            for phase in [Phase::Started, Phase::Finished] {
                assert!(keys.contains(&("buildset", id.0, phase)), "buildset {id} {phase}");
            }
        }
        let World { open, requests, buildsets, .. } = self.assembler.world();
        assert!(open.is_empty() && requests.is_empty() && buildsets.is_empty());
    }

    /// Besides, causes come before effects.
    fn check_ordered(&self) {
        self.check();
        let at: BTreeMap<_, _> = self.events.iter().map(Event::key).zip(0..).collect();
        for (index, event) in self.events.iter().enumerate() {
            let before = match event {
                Event::BuildFinished { build } => vec![("build", build.id.0, Phase::Started)],
                Event::StepStarted { build, .. } => vec![("build", build.0, Phase::Started)],
                Event::BuildStarted { build } => vec![("request", build.request.0, Phase::Started)],
                Event::RequestSubmitted { request } => {
                    vec![("buildset", request.buildset.0, Phase::Started)]
                }
                Event::RequestCompleted { request } => CAPTURE
                    .builds
                    .values()
                    .filter(|b| b.request == request.id)
                    .map(|b| ("build", b.id.0, Phase::Finished))
                    .collect(),
                Event::BuildsetCompleted { buildset } => CAPTURE
                    .requests
                    .values()
                    .filter(|r| r.buildset == buildset.id && r.outcome != Some(Outcome::Cancelled))
                    .map(|r| ("request", r.id.0, Phase::Finished))
                    .collect(),
                _ => vec![],
            };
            for key in before {
                assert!(
                    at.get(&key).is_some_and(|i| *i < index),
                    "{key:?} before {:?}",
                    event.key()
                );
            }
        }
    }
}

/// A journal that was connected all the time.
fn unbroken() -> Journal {
    let mut journal = Journal::default();
    journal.lists();
    journal.see(Observation::CaughtUp);
    for (_, frame) in &CAPTURE.frames {
        journal.see(frame.clone());
        journal.answer();
    }
    journal
}

#[test]
fn state_assembled_from_frames_equals_what_rest_says() {
    let journal = unbroken();
    journal.check_ordered();
    let whole = journal.asked.iter().filter(|need| matches!(need, Need::Build(_))).count();
    assert_eq!(whole, 0, "no build of an unbroken connection is read whole");
}

#[test]
fn state_read_after_a_gap_equals_what_rest_says() {
    let mut journal = Journal::default();
    journal.lists();
    journal.survey();
    journal.check_ordered();
    for event in &journal.events {
        if let Event::BuildStarted { build } = event {
            assert!(!build.properties.0.is_empty(), "build {} begins without any", build.id);
        }
    }
}

#[test]
fn a_build_that_is_found_while_it_runs_begins_once_its_properties_are_known() {
    let build = CAPTURE.builds.values().next_back().unwrap();
    let running = Build { outcome: None, complete_at: None, ..build.clone() };
    let row = Build { steps: vec![], properties: Properties::default(), ..running.clone() };
    for readable in [true, false] {
        let mut journal = Journal::default();
        journal.lists();
        journal.see(Observation::Build { build: Box::new(row.clone()), frame: false });
        assert!(
            journal.events.iter().all(|event| event.key().0 != "build"),
            "nothing is known yet"
        );
        while let Some(need) = journal.needs.pop_front() {
            journal.see(match need {
                Need::Build(_) if readable => Observation::Whole(Box::new(running.clone())),
                Need::Build(_) => Observation::Unreadable(need),
                need => CAPTURE.meet(need),
            });
        }
        let mut started = journal.events.iter().filter_map(|event| match event {
            Event::BuildStarted { build } => Some(&build.properties),
            _ => None,
        });
        let known = if readable { &running.properties } else { &row.properties };
        assert_eq!(started.next(), Some(known));
        assert_eq!(started.next(), None);
    }
}

#[test]
fn what_is_repeated_is_no_event() {
    let mut journal = unbroken();
    let events = journal.events.len();
    for (_, frame) in &CAPTURE.frames {
        if !matches!(frame, Observation::Worker(_)) {
            journal.see(frame.clone());
        }
    }
    journal.answer();
    journal.survey();
    journal.restart();
    journal.survey();
    assert_eq!(journal.events.len(), events);
}

#[test]
fn what_an_empty_journal_meets_is_no_event_but_what_is_open() {
    let mut journal = Journal::default();
    journal.lists();
    let events = journal.events.len();
    journal.see(Observation::Baseline {
        build: 36,
        change: 10,
        buildset: 31,
        request: 39,
        open_builds: vec![BuildId(36)],
        open_requests: vec![CAPTURE.builds[&BuildId(36)].request],
    });
    journal.survey();
    let finished: Vec<u64> = journal.finished().iter().map(|b| b.id.0).collect();
    assert_eq!(finished, [36]);
    let names: Vec<&str> = journal.events[events..]
        .iter()
        .map(Event::name)
        .filter(|name| !name.starts_with("step"))
        .collect();
    assert_eq!(
        names,
        [
            "buildsetSubmitted",
            "requestSubmitted",
            "buildStarted",
            "buildFinished",
            "requestCompleted",
            "buildsetCompleted"
        ]
    );
}

#[test]
fn a_finished_build_has_the_outcome_before_and_the_changes_since() {
    let journal = unbroken();
    let builds: BTreeMap<u64, &Build> =
        journal.finished().into_iter().map(|b| (b.id.0, b)).collect();
    let changes = |id: u64| builds[&id].changes.iter().map(|c| c.id.0).collect::<Vec<_>>();
    // The master lists 3 and 2, since both builds before failed; 2 was built by them.
    assert_eq!(CAPTURE.changes_of[&BuildId(5)].len(), 2);
    assert_eq!(changes(5), [3]);
    assert_eq!(changes(7), [4]);
    assert_eq!(changes(29), [9, 10], "oldest first");
    assert_eq!(builds[&1].previous, None);
    assert_eq!(builds[&7].previous, Some(Outcome::Failure));
    assert_eq!(builds[&9].previous, Some(Outcome::Success));
    assert_eq!(builds[&21].previous, Some(Outcome::Retry));
}

#[test]
fn a_builders_next_build_is_not_told_before_the_end_of_one_that_is_still_read() {
    let next = &CAPTURE.builds[&BuildId(21)];
    let earlier = CAPTURE.builds.values().filter(|b| b.builder.id == next.builder.id);
    let late = earlier.filter(|b| b.number < next.number).max_by_key(|b| b.number).unwrap();
    assert_eq!(late.outcome, Some(Outcome::Retry));
    let mut journal = Journal::default();
    journal.lists();
    journal.see(Observation::CaughtUp);
    let mut held = Vec::new();
    for (_, frame) in &CAPTURE.frames {
        if let Observation::Build { build, .. } = frame
            && build.id == late.id
            && build.outcome.is_some()
        {
            // What was told of it before is not all of it now, so that it has to be read.
            journal.see(Observation::Disconnected);
            journal.see(Observation::CaughtUp);
        }
        journal.see(frame.clone());
        held.extend(journal.needs.iter().filter(|need| **need == Need::Build(late.id)).cloned());
        journal.needs.retain(|need| *need != Need::Build(late.id));
        journal.answer();
    }
    let told = |journal: &Journal| {
        let of = |event: &Event| match event {
            Event::BuildStarted { build } if build.id == next.id => Some("next begins"),
            Event::BuildFinished { build } if build.id == next.id => {
                assert_eq!(build.previous, Some(Outcome::Retry));
                Some("next ends")
            }
            Event::BuildFinished { build } if build.id == late.id => Some("ends"),
            _ => None,
        };
        journal.events.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(told(&journal), Vec::<&str>::new(), "not read yet");
    assert_eq!(held, [Need::Build(late.id)]);
    journal.needs.extend(held);
    journal.answer();
    assert_eq!(told(&journal), ["ends", "next begins", "next ends"]);
    journal.check();
}

#[test]
fn the_masters_own_step_is_hidden_and_logs_keep_their_kinds() {
    let journal = unbroken();
    let build = journal.finished()[0].clone();
    assert!(build.steps[0].hidden && build.steps[0].name == "worker_preparation");
    let outcome = build.steps.iter().find(|s| s.name == "outcome").unwrap();
    let logs: Vec<_> =
        outcome.logs.iter().map(|l| (l.name.as_str(), l.slug.as_str(), l.kind)).collect();
    assert_eq!(
        logs,
        [
            ("stdio", "stdio", LogKind::Stdio),
            ("notes", "notes", LogKind::Text),
            ("report.html", "report_html", LogKind::Html)
        ]
    );
    assert_eq!(build.owners(), ["owner1@example.org", "owner2"], "of the buildset");
}

#[test]
fn a_pending_request_that_is_cancelled_is_told_from_a_stopped_build() {
    let journal = unbroken();
    let of = |name: &str| journal.events.iter().filter(|e| e.name() == name).count();
    let built = |id: &u64| CAPTURE.builds.values().any(|b| b.request.0 == *id);
    let unbuilt = CAPTURE.requests.keys().filter(|id| !built(&id.0)).count();
    assert!(unbuilt > 0);
    assert_eq!(of("requestCancelled"), unbuilt);
}

#[test]
fn a_buildset_that_the_master_left_open_is_completed_by_its_requests() {
    let mut journal = Journal::default();
    journal.lists();
    let set = CAPTURE.buildsets.values().find(|s| s.outcome == Some(Outcome::Failure)).unwrap();
    let mut left = set.clone();
    (left.outcome, left.complete_at) = (None, None);
    journal.see(Observation::Buildset { buildset: Box::new(left), whole: true, frame: false });
    journal.answer();
    journal.see(Observation::CaughtUp);
    journal.answer();
    let completed = journal.events.iter().find_map(|event| match event {
        Event::BuildsetCompleted { buildset } => Some(buildset.outcome),
        _ => None,
    });
    assert_eq!(completed, Some(Some(Outcome::Failure)));
}

#[test]
fn what_cannot_be_read_does_not_hold_a_build_up_for_ever() {
    let mut journal = Journal::default();
    journal.see(Observation::CaughtUp);
    let mine = |frame: &Observation| match frame {
        Observation::Build { build, .. } => build.id == BuildId(1),
        Observation::Step(build, _) | Observation::Properties(build, _) => *build == BuildId(1),
        _ => false,
    };
    for (_, frame) in CAPTURE.frames.iter().filter(|(_, frame)| mine(frame)) {
        journal.see(frame.clone());
    }
    while let Some(need) = journal.needs.pop_front() {
        journal.see(Observation::Absent(need));
    }
    let build = journal.finished()[0];
    assert_eq!(build.builder.name.as_str(), "unit win/32", "by its properties");
    assert_eq!(build.outcome, Some(Outcome::Success));
}
