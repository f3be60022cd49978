//! Invented builds for tests, previews and measurements; the same for the same arguments.

use crate::view::{Limits, View};
use feed::{Item, Snapshot};
use master::{MasterState, StateKind};
use model::{
    Build, BuildId, Builder, BuilderId, BuilderRef, Buildset, Change, ChangeId, Event, Identity,
    Log, LogId, Outcome, Position, Record, Request, RequestId, SourceStamp, Step, StepId,
    Timestamp, Worker, WorkerId, WorkerRef,
};
use std::sync::Arc;

/// The present of all that is invented: Mon 23 Nov 2026 15:12 UTC.
pub const NOW: Timestamp = Timestamp(1_795_446_720);
/// A minute, in seconds.
pub const MIN: i64 = 60;

/// A finished build, `ago` minutes back, that took `minutes`, with steps `git`, `compile` and
/// `test` (the one that is to blame for an outcome that is no success).
pub fn build(builder: u64, number: u64, ago: i64, minutes: i64, outcome: Outcome) -> Build {
    let start = Timestamp(NOW.0 - ago * MIN);
    let end = Timestamp(start.0 + minutes * MIN);
    let step = |at: u64, name: &str, from: i64, to: i64, outcome| Step {
        id: StepId(builder * 1_000_000 + number * 100 + at),
        number: at,
        name: name.into(),
        text: if outcome == Outcome::Success { name.into() } else { format!("{name} {outcome}") },
        started_at: Some(Timestamp(start.0 + from)),
        complete_at: Some(Timestamp(start.0 + to)),
        outcome: Some(outcome),
        logs: vec![Log {
            id: LogId(builder * 1_000_000 + number * 100 + at),
            name: "stdio".into(),
            slug: "stdio".into(),
            lines: 40,
            complete: true,
            ..Log::default()
        }],
        ..Step::default()
    };
    let seconds = minutes * MIN;
    Build {
        id: BuildId(builder * 100_000 + number),
        number,
        builder: BuilderRef {
            id: BuilderId(builder),
            name: format!("b{builder}").as_str().into(),
            tags: vec![],
        },
        request: RequestId(builder * 100_000 + number),
        worker: Some(WorkerRef { id: WorkerId(1), name: "w1".into() }),
        started_at: start,
        complete_at: Some(end),
        outcome: Some(outcome),
        text: match outcome {
            Outcome::Success => "build successful".into(),
            other => format!("{} test", crate::marks::word(Some(other))),
        },
        steps: vec![
            step(0, "git", 2, seconds / 10, Outcome::Success),
            step(1, "compile", seconds / 10, seconds / 2, Outcome::Success),
            step(2, "test", seconds / 2, seconds - 1, outcome),
        ],
        buildset: Buildset {
            reason: "scheduler".into(),
            source_stamps: vec![SourceStamp::default()],
            ..Buildset::default()
        },
        ..Build::default()
    }
}

/// The same build while its last step runs: `ago` minutes after its start.
pub fn running(builder: u64, number: u64, ago: i64) -> Build {
    let mut build = build(builder, number, ago, ago.max(2), Outcome::Success);
    (build.complete_at, build.outcome) = (None, None);
    build.text = "building".into();
    if let Some(last) = build.steps.last_mut() {
        (last.complete_at, last.outcome) = (None, None);
    }
    build
}

/// A change, `ago` minutes back.
pub fn change(id: u64, ago: i64, author: &str) -> Change {
    Change {
        id: ChangeId(id),
        author: author.into(),
        comments: format!("Change {id} of a file"),
        revision: Some(format!("{:016x}{id:024x}", id.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        when: Timestamp(NOW.0 - ago * MIN),
        ..Change::default()
    }
}

/// A configured builder with the key N; named `bN` unless a name is given.
pub fn builder(id: u64, name: Option<&str>, tags: &[&str]) -> Builder {
    Builder {
        id: BuilderId(id),
        name: name.map_or_else(|| format!("b{id}"), str::to_owned).into(),
        tags: tags.iter().map(|t| (*t).to_owned()).collect(),
        configured: true,
        ..Builder::default()
    }
}

/// A worker that is connected and serves all of the given builders.
pub fn worker(id: u64, builders: &[u64]) -> Worker {
    Worker {
        id: WorkerId(id),
        name: format!("w{id}"),
        connected: true,
        builders: builders.iter().map(|b| BuilderId(*b)).collect(),
        version: "4.3.0".into(),
        ..Worker::default()
    }
}

/// A view of these builders, builds (finished and running) and changes; worker 1 serves all.
pub fn view(builders: Vec<Builder>, builds: Vec<Build>, changes: Vec<Change>) -> View {
    let mut snapshot = Snapshot { changes, ..Snapshot::default() };
    let ids: Vec<u64> = builders.iter().map(|b| b.id.0).collect();
    snapshot.world.title = "app".into();
    snapshot.world.version = "4.3.0".into();
    snapshot.world.workers.insert(WorkerId(1), worker(1, &ids));
    let named: std::collections::BTreeMap<_, _> = builders.into_iter().map(|b| (b.id, b)).collect();
    for mut build in builds {
        if let Some(builder) = named.get(&build.builder.id) {
            build.builder.name = builder.name.clone();
            build.builder.tags.clone_from(&builder.tags);
        }
        if build.outcome.is_none() {
            snapshot.world.open.insert(build.id, build);
        } else {
            snapshot.builds.push(build);
        }
    }
    snapshot.world.builders = named;
    View::new(snapshot, MasterState::now(StateKind::Live, "connected"), Limits::default())
}

/// An event as number `seq` of the journal, `ago` minutes back.
pub fn record(seq: u64, ago: i64, event: Event) -> Item {
    Item::Record(Arc::new(Record {
        position: Position { epoch: 1, seq },
        identity: Identity::of(&event, "test", 1, seq),
        journaled_ms: (NOW.0 - ago * MIN) * 1000,
        event,
    }))
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    /// One from 0 to `below` - 1 (splitmix64).
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn minutes(&mut self, below: u64) -> i64 {
        i64::try_from(self.roll(below)).unwrap_or(0)
    }
}

/// Names and tags of a site's builders.
const BUILDERS: &[(&str, &str)] = &[
    ("unit-linux", "unit"),
    ("unit-macos", "unit"),
    ("unit win/32", "unit"),
    ("multi", "multi"),
    ("docs", "docs"),
    ("try", "try"),
    ("slow", "slow"),
    ("release", "release"),
];
const PEOPLE: &[&str] =
    &["Ann <ann@example.org>", "Bo <bo@example.org>", "Cleo <cleo@example.org>", "Dov", "Eli"];
const COMMENTS: &[&str] = &[
    "Retry the handshake once when the worker hangs up early",
    "Read the lock file before the cache is trusted",
    "Speed up the diff parser: no copies on the hot path",
    "Fix off-by-one in the log pager",
    "Windows: quote arguments that end in a backslash",
    "Docs: how a patch travels from try to release",
];

/// A whole site, as busy as a real one: `builders` with `builds` each, of `steps` steps.
///
/// Its present is `now`.
pub fn site(builders: u64, builds: u64, steps: u64, now: Timestamp) -> View {
    let later = now.0 - NOW.0;
    let mut dice = Dice(7);
    let names: Vec<Builder> = (1..=builders)
        .map(|id| {
            let at = usize::try_from(id - 1).unwrap_or(0);
            match BUILDERS.get(at) {
                Some((name, tag)) => builder(id, Some(name), &[tag]),
                None => builder(id, Some(&format!("unit-platform-{id}")), &["unit"]),
            }
        })
        .collect();
    let changes = builds.min(200);
    let mut made: Vec<Change> = Vec::new();
    let mut ago = 11;
    for id in (1..=changes).rev() {
        let pick = |of: &[&str], roll: u64| of[usize::try_from(roll).unwrap_or(0)].to_owned();
        let mut new = change(id, ago, &pick(PEOPLE, dice.roll(5)));
        new.comments = pick(COMMENTS, dice.roll(6));
        ago += 8 + dice.minutes(60);
        // People sleep.
        if (NOW.0 - ago * MIN).rem_euclid(86_400) < 6 * 3600 {
            ago += 7 * 60;
        }
        made.push(new);
    }
    let mut all = Vec::new();
    for of in 1..=builders {
        let speed = 3 + dice.minutes(14);
        let mut ago = dice.minutes(20);
        for number in (1..=builds).rev() {
            let minutes = (speed + dice.minutes(4)).max(2);
            ago += minutes;
            let outcome = match dice.roll(40) {
                0..=2 => Outcome::Failure,
                3 => Outcome::Warnings,
                4 => Outcome::Exception,
                5 => Outcome::Cancelled,
                6 => Outcome::Retry,
                _ => Outcome::Success,
            };
            let mut new = build(of, number, ago, minutes, outcome);
            if number == builds && dice.roll(3) > 0 {
                new = running(of, number, minutes / 2 + 1);
                ago = minutes / 2 + 1;
            }
            spread(&mut new, steps);
            all.push(new);
            ago += 1 + dice.minutes(50);
            if (NOW.0 - ago * MIN).rem_euclid(86_400) < 6 * 3600 {
                ago += 7 * 60;
            }
        }
    }
    for time in all.iter_mut().flat_map(times) {
        time.0 += later;
    }
    for change in &mut made {
        change.when.0 += later;
    }
    let record = |seq, ago: i64, event| record(seq, ago - later / MIN, event);
    let mut view = view(names, all, made);
    let away = Worker { connected: false, ..worker(2, &[4, 6]) };
    view.apply(&record(1, 200, Event::WorkerConnected { worker: worker(2, &[4, 6]) }));
    view.apply(&record(2, 74, Event::WorkerDisconnected { worker: away }));
    let again = builder(builders.min(8), BUILDERS.get(7).map(|b| b.0), &["release"]);
    view.apply(&record(3, 31, Event::BuilderChanged { builder: again }));
    for n in 0..2 {
        let request = Request {
            id: RequestId(900_000 + n),
            builder: BuilderId(1),
            submitted_at: NOW,
            ..Request::default()
        };
        view.apply(&record(4 + n, 0, Event::RequestSubmitted { request }));
    }
    view
}

/// All moments of a build.
fn times(build: &mut Build) -> Vec<&mut Timestamp> {
    let mut all = vec![&mut build.started_at];
    all.extend(&mut build.complete_at);
    for step in &mut build.steps {
        all.extend(&mut step.started_at);
        all.extend(&mut step.complete_at);
    }
    all
}

/// Gives a build as many steps as wanted, by dividing its second one.
fn spread(build: &mut Build, steps: u64) {
    const NAMES: &[&str] = &["configure", "deps", "lint", "codegen", "link", "strip", "unit"];
    for (at, name) in (3..steps).zip(NAMES.iter().cycle()) {
        let Some(mut step) = build.steps.get(1).cloned() else { return };
        step.id = StepId(step.id.0 + at * 10);
        step.number = at;
        step.name = (*name).to_owned();
        step.text.clone_from(&step.name);
        let short = step.started_at.map(|t| Timestamp(t.0 + 20 + 13 * at.cast_signed()));
        step.complete_at = short;
        build.steps.insert(2, step);
    }
}
