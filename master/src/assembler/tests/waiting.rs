//! What waits for its details while much else goes on, and a process that ends just then.

use super::Journal;
use crate::{
    assembler::{Need, Observation},
    capture::Capture,
};
use model::{
    Build, BuildId, Builder, BuilderId, BuilderRef, Buildset, BuildsetId, Event, Outcome, Phase,
    Request, RequestId, Timestamp,
};

/// How many builds there are, each of a buildset, a request and a builder of its own.
const ALL: u64 = 200;
/// The one whose details hang.
const SLOW: u64 = 40;
/// From here on a survey reads, once all others are journaled.
const SURVEYED: u64 = 150;

fn set(id: u64) -> Buildset {
    Buildset { id: BuildsetId(id), ..Buildset::default() }
}

fn request(id: u64) -> Request {
    Request {
        id: RequestId(id),
        buildset: BuildsetId(id),
        builder: BuilderId(id),
        ..Request::default()
    }
}

fn build(id: u64) -> Build {
    Build {
        id: BuildId(id),
        number: 1,
        builder: BuilderRef { id: BuilderId(id), ..BuilderRef::default() },
        request: RequestId(id),
        started_at: Timestamp(1),
        ..Build::default()
    }
}

/// The master, on which all of them run; or they have ended.
fn master(ended: bool) -> Capture {
    let end = |build: Build| Build {
        complete_at: Some(Timestamp(2)),
        outcome: Some(Outcome::Success),
        ..build
    };
    Capture {
        builds: (1..=ALL)
            .map(|id| (BuildId(id), if ended { end(build(id)) } else { build(id) }))
            .collect(),
        changes_of: (1..=ALL).map(|id| (BuildId(id), Vec::new())).collect(),
        buildsets: (1..=ALL).map(|id| (BuildsetId(id), set(id))).collect(),
        requests: (1..=ALL).map(|id| (RequestId(id), request(id))).collect(),
        builders: (1..=ALL).map(|id| Builder { id: BuilderId(id), ..Builder::default() }).collect(),
        ..Capture::default()
    }
}

impl Journal {
    /// Answers what is asked for, but for what hangs.
    fn answer_by(&mut self, master: &Capture, hangs: impl Fn(&Need) -> bool) {
        while let Some(need) = self.needs.pop_front() {
            if !hangs(&need) {
                self.see(master.meet(need));
            }
        }
    }

    fn told(&self, kind: &str, id: u64, phase: Phase) -> usize {
        self.events.iter().filter(|event| event.key() == (kind, id, phase)).count()
    }
}

/// Everything begins, frame by frame, while something of one never comes.
fn all_but_one(hangs: impl Fn(&Need) -> bool) -> Journal {
    let master = master(false);
    let mut journal = Journal::default();
    journal.see(Observation::Builders(master.builders.clone()));
    journal.see(Observation::CaughtUp);
    for id in 1..=ALL {
        journal.see(Observation::Buildset {
            buildset: Box::new(set(id)),
            whole: false,
            frame: true,
        });
        journal.see(Observation::Request(request(id)));
        journal.see(Observation::Build { build: Box::new(build(id)), frame: true });
        journal.answer_by(&master, &hangs);
    }
    assert_eq!(journal.told("build", ALL, Phase::Started), 1);
    assert_eq!(journal.told("build", SLOW, Phase::Started), 0, "it waits");
    journal
}

/// The process is started again, and its connection catches up as it does: what was open is read by
/// key, and the rest from a little below the highest keys.
fn begin_again(journal: &mut Journal) {
    journal.restart();
    let master = master(true);
    journal.see(Observation::Builders(master.builders.clone()));
    journal.needs.extend(journal.assembler.unfinished().into_iter().map(Need::Build));
    for id in journal.assembler.unfinished_requests() {
        journal.see(Observation::Request(master.requests[&id].clone()));
    }
    for id in SURVEYED..=ALL {
        journal.see(Observation::Buildset {
            buildset: Box::new(set(id)),
            whole: false,
            frame: false,
        });
        let row = master.builds[&BuildId(id)].clone();
        journal.see(Observation::Build { build: Box::new(row), frame: false });
        journal.see(Observation::Request(request(id)));
    }
    journal.answer_by(&master, |_| false);
    journal.see(Observation::CaughtUp);
    journal.answer_by(&master, |_| false);
    for id in 1..=ALL {
        for (kind, phase) in [
            ("buildset", Phase::Started),
            ("request", Phase::Started),
            ("build", Phase::Started),
            ("build", Phase::Finished),
        ] {
            assert_eq!(journal.told(kind, id, phase), 1, "{kind} {id} {phase}");
        }
    }
    assert_eq!(journal.assembler.world().waiting, model::Waiting::default(), "nothing waits");
}

#[test]
fn a_build_whose_details_hang_while_many_begin_is_not_lost_by_a_restart() {
    let mut journal = all_but_one(|need| *need == Need::Changes(BuildId(SLOW)));
    begin_again(&mut journal);
}

#[test]
fn a_buildset_whose_details_hang_while_many_begin_is_not_lost_by_a_restart() {
    let mut journal = all_but_one(|need| *need == Need::BuildsetProperties(BuildsetId(SLOW)));
    assert_eq!(journal.told("buildset", SLOW, Phase::Started), 0, "it waits");
    assert_eq!(journal.told("request", SLOW, Phase::Started), 0, "so does its request");
    begin_again(&mut journal);
}

#[test]
fn a_build_that_comes_below_what_a_survey_reads_is_kept_at_once() {
    let master = master(false);
    let mut journal = Journal::default();
    journal.see(Observation::Builders(master.builders.clone()));
    journal.see(Observation::CaughtUp);
    for id in (1..=100).filter(|id| *id != SLOW) {
        journal.see(Observation::Build { build: Box::new(build(id)), frame: true });
        journal.answer_by(&master, |_| false);
    }
    // 60 below the highest: not seen, and not read by the next survey either.
    journal.see(Observation::Build { build: Box::new(build(SLOW)), frame: true });
    journal.restart();
    assert!(journal.assembler.unfinished().contains(&BuildId(SLOW)));
    let started = |event: &&Event| event.key() == ("build", SLOW, Phase::Started);
    assert_eq!(journal.events.iter().find(started), None);
}

#[test]
fn what_waits_and_is_gone_from_the_master_is_waited_for_no_longer() {
    let mut journal = all_but_one(|need| *need == Need::Changes(BuildId(SLOW)));
    journal.restart();
    assert!(journal.assembler.world().waiting.builds.contains(&BuildId(SLOW)));
    journal.see(Observation::Absent(Need::Build(BuildId(SLOW))));
    journal.restart();
    assert!(!journal.assembler.unfinished().contains(&BuildId(SLOW)));
}

#[test]
fn a_waiting_request_of_an_empty_journals_master_is_read_though_it_is_old() {
    let mut journal = Journal::default();
    journal.see(Observation::Baseline {
        build: 0,
        change: 0,
        buildset: ALL,
        request: ALL,
        open_builds: Vec::new(),
        open_requests: vec![RequestId(SLOW)],
    });
    assert_eq!(journal.assembler.unfinished_requests(), [RequestId(SLOW)]);
    journal.restart();
    assert_eq!(journal.assembler.unfinished_requests(), [RequestId(SLOW)]);
}
