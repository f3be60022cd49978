//! A journal in memory, and what is in it.

use super::lock;
use crate::{Acks, Source};
use feed::{DeadLetter, Done, StateChange};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Change, Event, Identity, Outcome, Position, Properties,
    Property, Record, Timestamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;

/// A journal in memory with one durable consumer. Clones share it.
#[derive(Clone, Default)]
pub struct Journal(Arc<JournalState>);

#[derive(Default)]
struct JournalState {
    records: Vec<Arc<Record>>,
    rows: Mutex<Rows>,
    changed: Notify,
}

#[derive(Clone, Default)]
struct Rows {
    done: BTreeSet<Position>,
    dead: BTreeMap<Position, DeadLetter>,
    values: BTreeMap<String, Vec<u8>>,
    /// Records that were delivered, and attempts that failed, as their acknowledgements say.
    delivered: u64,
    failed: u64,
    /// Acknowledgements that still get through; `None` is all.
    acknowledgements: Option<usize>,
}

/// One reading of a [`Journal`]: hands out what is not done, from the start.
pub struct Reader {
    journal: Journal,
    next: usize,
}

impl Journal {
    /// A journal that holds `records`.
    pub fn new(records: Vec<Record>) -> Self {
        let records = records.into_iter().map(Arc::new).collect();
        Self(Arc::new(JournalState { records, ..JournalState::default() }))
    }

    /// Opens the consumer.
    pub fn open(&self) -> Reader {
        Reader { journal: self.clone(), next: 0 }
    }

    /// What was given up.
    pub fn dead(&self) -> BTreeMap<Position, DeadLetter> {
        lock(&self.0.rows).dead.clone()
    }

    /// How many records were delivered, and how many attempts failed, as acknowledgements say.
    pub fn counted(&self) -> (u64, u64) {
        let rows = lock(&self.0.rows);
        (rows.delivered, rows.failed)
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        let rows = lock(&self.0.rows);
        self.0.records.iter().all(|r| rows.done.contains(&r.position))
    }

    /// Positions of what is left to do.
    pub fn open_positions(&self) -> Vec<Position> {
        let rows = lock(&self.0.rows);
        let all = self.0.records.iter().map(|r| r.position);
        all.filter(|p| !rows.done.contains(p)).collect()
    }

    /// After `n` more acknowledgements, none returns: the disk hangs. `None` mends it.
    pub fn hang_after(&self, n: Option<usize>) {
        lock(&self.0.rows).acknowledgements = n;
    }

    /// Told of each write.
    pub(super) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    async fn write(&self, change: impl FnOnce(&mut Rows)) {
        let hangs = {
            let mut rows = lock(&self.0.rows);
            match &mut rows.acknowledgements {
                Some(0) => true,
                left => {
                    if let Some(n) = left {
                        *n -= 1;
                    }
                    change(&mut rows);
                    false
                }
            }
        };
        self.0.changed.notify_waiters();
        if hangs {
            std::future::pending::<()>().await;
        }
    }
}

impl Source for Reader {
    type Acks = Journal;

    async fn next(&mut self) -> Result<Arc<Record>, Infallible> {
        while let Some(record) = self.journal.0.records.get(self.next) {
            self.next += 1;
            if !lock(&self.journal.0.rows).done.contains(&record.position) {
                return Ok(Arc::clone(record));
            }
        }
        std::future::pending().await
    }

    fn acks(&self) -> Journal {
        self.journal.clone()
    }
}

fn apply(rows: &mut Rows, state: Option<StateChange>) {
    for (key, value) in state.into_iter().flat_map(|state| state.set) {
        rows.values.insert(key, value);
    }
}

impl Acks for Journal {
    type Error = Infallible;

    async fn done(&self, position: Position, done: Done) -> Result<(), Infallible> {
        self.write(|rows| {
            rows.done.insert(position);
            rows.delivered += u64::from(done.delivered);
            rows.failed += u64::from(done.failed);
            rows.dead.extend(done.letter.map(|letter| (position, letter)));
            apply(rows, done.change);
        })
        .await;
        Ok(())
    }

    async fn save(&self, state: StateChange) -> Result<(), Infallible> {
        self.write(|rows| apply(rows, Some(state))).await;
        Ok(())
    }

    fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.0.rows).values.get(key).cloned()
    }

    fn backlog(&self) -> u64 {
        self.open_positions().len() as u64
    }
}

/// What Buildbot's source of Gerrit's changes sets.
fn of_gerrit() -> Properties {
    let of = |name: &str, value: &str| {
        (format!("event.{name}"), Property(value.into(), "Change".to_owned()))
    };
    let revision = "3819d5e801fcf438b5d6e86483ea574d032705a9";
    let all = [
        of("change.id", "I74c1359b1078011d5d11ae5544bfd0f2dc5cb88a"),
        of("change.project", "demo"),
        of("patchSet.revision", revision),
    ];
    Properties(all.into())
}

/// Failed builds by one author, of one change of Gerrit's: `each` on each of `builders` builders, in turn.
pub fn records(builders: u64, each: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 1..=each {
        for builder in 1..=builders {
            let id = records.len() as u64 + 1;
            let now = Timestamp::now();
            let event = Event::BuildFinished {
                build: Box::new(Build {
                    id: BuildId(id),
                    number,
                    builder: BuilderRef {
                        id: BuilderId(builder),
                        name: format!("b{builder}").into(),
                        tags: Vec::new(),
                    },
                    started_at: now,
                    complete_at: Some(now),
                    outcome: Some(Outcome::Failure),
                    properties: of_gerrit(),
                    changes: vec![Change {
                        author: "Ann <ann@example.org>".into(),
                        ..Change::default()
                    }],
                    ..Build::default()
                }),
            };
            let identity = Identity::of(&event, "master", 1, id);
            let position = Position { epoch: 1, seq: id };
            records.push(Record { position, identity, journaled_ms: now.0 * 1000, event });
        }
    }
    records
}
