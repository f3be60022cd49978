//! Proofs on the recording of a real master.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::{Batch, Known, MasterState, Sink, SinkError};
use model::{
    Build, BuildId, BuildsetId, ChangeId, Event, Highest, Live, RequestId, Timestamp, World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::{Arc, Mutex},
};
use tokio_util::sync::CancellationToken;

/// More events than a play begins with (builders and workers): it is live by then.
const LIVE: usize = 20;

fn frames() -> String {
    let mut ws = String::new();
    let packed = include_bytes!("../../tests/data/ws.jsonl.gz");
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut ws).unwrap();
    ws
}

fn recording() -> Recording {
    of(&frames())
}

fn of(frames: &str) -> Recording {
    Recording::from_capture(
        frames,
        include_str!("../../tests/data/rest_builds.jsonl"),
        include_str!("../../tests/data/rest_collections.jsonl"),
    )
    .unwrap()
}

#[derive(Default)]
struct Store {
    world: World,
    events: Vec<Event>,
    history: Vec<Build>,
    commits: usize,
}

#[derive(Clone)]
struct Memory {
    store: Arc<Mutex<Store>>,
    /// Ends the play after so many events.
    enough: usize,
    cancel: CancellationToken,
}

impl Sink for Memory {
    fn known(&self) -> Known {
        let store = self.store.lock().unwrap();
        Known { world: store.world.clone(), fresh: store.commits == 0, ..Known::default() }
    }

    async fn commit(&mut self, batch: Batch, world: &World) -> Result<(), SinkError> {
        let mut store = self.store.lock().unwrap();
        store.events.extend(batch.events);
        store.history.extend(batch.history);
        (store.world, store.commits) = (world.clone(), store.commits + 1);
        if store.events.len() >= self.enough {
            self.cancel.cancel();
        }
        Ok(())
    }

    fn live(&self, _: Live) {}

    fn state(&self, _: MasterState) {}
}

async fn played(recording: &Recording, store: &Arc<Mutex<Store>>, preload: u32, enough: usize) {
    let cancel = CancellationToken::new();
    let enough = store.lock().unwrap().events.len() + enough;
    let sink = Memory { store: store.clone(), enough, cancel: cancel.clone() };
    let options = PlayOptions { preload_loops: preload, speed: 100_000.0 };
    play(recording.clone(), options, sink, cancel).await;
}

#[tokio::test(start_paused = true)]
async fn a_recording_plays_for_ever_with_keys_and_numbers_of_its_own() {
    let recording = recording();
    let store = Arc::default();
    played(&recording, &store, 3, 2000).await;
    let store = store.lock().unwrap();
    assert_eq!(store.history.len(), 3 * recording.builds());
    let mut keys = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    let finished = store.events.iter().filter_map(|event| match event {
        Event::BuildFinished { build } => Some(build.as_ref()),
        _ => None,
    });
    let mut count = 0;
    for build in store.history.iter().chain(finished) {
        assert!(keys.insert(build.id), "{} twice", build.id);
        assert!(numbers.insert((build.builder.id, build.number)));
        count += 1;
    }
    assert!(count > 4 * recording.builds(), "{count}");
}

#[tokio::test(start_paused = true)]
async fn history_is_spread_over_the_hours_before() {
    let recording = recording();
    let store = Arc::default();
    played(&recording, &store, 4, LIVE).await;
    let store = store.lock().unwrap();
    assert_eq!(store.history.len(), 4 * recording.builds());
    let now = Timestamp::now();
    let ages: Vec<u64> = store.history.iter().map(|b| now.seconds_since(b.started_at)).collect();
    assert!(ages.iter().all(|age| (15 * 60..4 * 3600).contains(age)), "{ages:?}");
    let by_loop: BTreeMap<u64, u64> =
        store.history.iter().zip(&ages).map(|(b, age)| (b.id.0, *age)).collect();
    assert!(by_loop.values().rev().is_sorted(), "higher keys are younger");
}

#[tokio::test(start_paused = true)]
async fn a_play_goes_on_in_a_journal_of_an_earlier_one_and_ends_what_that_left_open() {
    let recording = recording();
    let store: Arc<Mutex<Store>> = Arc::default();
    played(&recording, &store, 1, 100).await;
    assert!(!store.lock().unwrap().world.open.is_empty(), "it was ended within a build");
    played(&recording, &store, 1, 1000).await;
    let store = store.lock().unwrap();
    assert_eq!(store.history.len(), recording.builds(), "history is loaded once");
    let mut started: BTreeSet<BuildId> = BTreeSet::new();
    let mut finished = BTreeSet::new();
    for event in &store.events {
        match event {
            Event::BuildStarted { build } => assert!(started.insert(build.id)),
            Event::BuildFinished { build } => assert!(finished.insert(build.id)),
            _ => {}
        }
    }
    let open: BTreeSet<BuildId> = store.world.open.keys().copied().collect();
    assert_eq!(started.difference(&finished).copied().collect::<BTreeSet<_>>(), open);
}

#[tokio::test(start_paused = true)]
async fn what_is_played_is_new_to_a_journal_whatever_kind_of_key_it_has_most_of() {
    let recording = recording();
    let key = 1_000_000;
    for highest in [
        Highest { build: BuildId(key), ..Highest::default() },
        Highest { change: ChangeId(key), ..Highest::default() },
        Highest { buildset: BuildsetId(key), ..Highest::default() },
        Highest { request: RequestId(key), ..Highest::default() },
    ] {
        let store: Arc<Mutex<Store>> = Arc::default();
        store.lock().unwrap().world.highest = highest;
        played(&recording, &store, 0, 100).await;
        let store = store.lock().unwrap();
        let known = |old: u64, new: u64| old == 0 || new > old;
        let mut kinds = BTreeSet::new();
        for event in &store.events {
            let (kind, new) = match event {
                Event::BuildStarted { build } => ("build", known(highest.build.0, build.id.0)),
                Event::ChangeAdded { change } => ("change", known(highest.change.0, change.id.0)),
                Event::BuildsetSubmitted { buildset } => {
                    ("buildset", known(highest.buildset.0, buildset.id.0))
                }
                Event::RequestSubmitted { request } => {
                    ("request", known(highest.request.0, request.id.0))
                }
                _ => continue,
            };
            assert!(new, "{highest:?}: {event:?}");
            kinds.insert(kind);
        }
        assert_eq!(kinds.len(), 4, "{highest:?}: {kinds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_speed_that_is_none_is_the_slowest() {
    let recording = recording();
    let whole = recording.length().div_f64(PlayOptions::SLOWEST);
    for speed in [0.0, -1.0, 1e-20, f64::NAN] {
        let (store, cancel) = (Arc::<Mutex<Store>>::default(), CancellationToken::new());
        let sink = Memory { store: Arc::clone(&store), enough: 100, cancel: cancel.clone() };
        let options = PlayOptions { preload_loops: 0, speed };
        let played = tokio::time::timeout(whole, play(recording.clone(), options, sink, cancel));
        assert!(played.await.is_ok(), "{speed}: {} events", store.lock().unwrap().events.len());
    }
}

#[tokio::test]
async fn a_recording_is_the_same_after_it_was_written_and_read() {
    let recording = recording();
    let written = recording.write().unwrap();
    assert!(written.len() < 300_000, "{}", written.len());
    let read = Recording::read(&written).unwrap();
    assert_eq!(read.builds(), recording.builds());
    assert_eq!(read.length(), recording.length());
    assert_eq!(read.write().unwrap(), written);
    // The outcome step of build 1, in the first loop and in a later one.
    let (log, span) = (LogId(9), read.0.spans.log);
    let first = read.lines(log, 0, 100).await.unwrap();
    assert_eq!(first.count(), 9);
    assert!(first.text.starts_with("hargv: outcome success\n"));
    let later = read.lines(LogId(9 + 7 * span), 2, 2).await.unwrap();
    assert_eq!(
        later.lines().collect::<Vec<_>>(),
        first.lines().skip(2).take(2).collect::<Vec<_>>()
    );
    assert!(matches!(read.lines(LogId(0), 0, 1).await, Err(ClientError::NotFound(_))));
}

#[tokio::test(start_paused = true)]
async fn builds_whose_frames_were_lost_are_on_the_tape_by_what_rest_says() {
    let all = frames();
    let mut lines: Vec<&str> = all.lines().collect();
    lines.splice(300..900, [r#"{"disconnect": "reset", "t": 1}"#]);
    let recording = of(&lines.join("\n"));
    assert_eq!(recording.builds(), 36);
    let store: Arc<Mutex<Store>> = Arc::default();
    played(&recording, &store, 2, LIVE).await;
    let store = store.lock().unwrap();
    assert_eq!(store.history.len(), 2 * 36);
    let steps = |b: &Build| (b.steps.len(), b.steps.iter().map(|s| s.logs.len()).sum::<usize>());
    for (first, second) in store.history.iter().zip(&store.history[36..]) {
        assert_eq!(steps(first), steps(second));
    }
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    assert!(Recording::read(b"no gzip").is_err());
    assert!(Recording::read(b"").is_err());
    let error = Recording::from_capture("{}\n{\"k\":\"builds/1/new\",\"m\":7,\"t\":1}", "", "");
    assert_eq!(error.unwrap_err().line, 2);
}
