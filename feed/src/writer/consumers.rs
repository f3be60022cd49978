//! Consumers' wishes on their way to disk.

use super::{
    change::Change,
    letters::{self, Replay},
    refill,
};
use crate::{
    CatchUp, ConsumerError, DeadLetter, Done, JournalLost, LossKind, StateChange, StoreError,
    consumer::{core::Core, ledger::Ledger},
    shared::{Shared, now_ms},
    store::tables::{CONSUMERS, ConsumerRow, Journal, encode},
};
use model::Position;
use redb::WriteTransaction;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Wishes, and whose; they share a transaction.
pub(crate) struct ConsumerJob {
    pub(crate) name: String,
    pub(crate) wishes: Vec<Wish>,
}

/// See [`crate::ConsumerHandle`] and [`crate::Feed`].
pub(crate) enum Wish {
    Open {
        max_backlog_ms: i64,
        catch_up: Option<CatchUp>,
        held: BTreeSet<u64>,
        /// Where the consumer knows that it stood in another journal, and how many records it
        /// still holds of that.
        known: Option<(Position, u64)>,
    },
    Done {
        generation: u64,
        position: Position,
        done: Done,
    },
    Save {
        generation: u64,
        change: StateChange,
    },
    /// What was to be handed out could not be read.
    Unreadable {
        generation: u64,
        seq: u64,
        letter: DeadLetter,
    },
    Replay {
        position: Position,
    },
    ReplayHistory {
        catch_up: CatchUp,
    },
    DropLetter {
        position: Position,
    },
    Forget,
}

/// The answer to a wish.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Granted {
    Opened { generation: u64 },
    Replayed { builds: u64 },
    Done,
}

/// What a transaction changes of consumers, to be installed once it is on disk.
#[derive(Default)]
pub(crate) struct Changes {
    by_name: BTreeMap<String, Change>,
}

impl Changes {
    /// The consumer as this transaction has it so far.
    pub(super) fn change(&mut self, shared: &Shared, name: &str) -> Option<&mut Change> {
        if !self.by_name.contains_key(name) {
            let core = Arc::clone(shared.consumers().get(name)?);
            self.by_name.insert(name.to_owned(), Change::of(core));
        }
        self.by_name.get_mut(name)
    }

    /// Grants or refuses a wish. The outer error ends the transaction, the inner one does not.
    pub(super) fn apply(
        &mut self,
        transaction: &WriteTransaction,
        shared: &Shared,
        journal: &Journal,
        name: &str,
        wish: &Wish,
    ) -> Result<Result<Granted, ConsumerError>, StoreError> {
        if let Wish::Open { max_backlog_ms, catch_up, held, known } = wish {
            let change = self.opened(shared, journal, name);
            if let Some((previous, backlog)) = *known
                && change.row.lost.is_none()
            {
                let reason = LossKind::Volume;
                let lost = JournalLost { previous, backlog, at_ms: now_ms(), reason };
                tracing::error!(consumer = name, %previous, "stood in a journal that is lost");
                change.row.lost = Some(lost);
            }
            change.row.max_backlog_ms = *max_backlog_ms;
            change.row.catch_up = *catch_up;
            change.seen();
            change.opened = Some(held.clone());
            return Ok(Ok(Granted::Opened { generation: change.row.generation }));
        }
        let Some(change) = self.change(shared, name) else {
            return Ok(Err(ConsumerError::NotFound(format!("consumer {name}"))));
        };
        match wish {
            Wish::Open { .. } => Ok(Ok(Granted::Done)),
            Wish::Done { generation, position, done } => {
                if let Err(error) =
                    change.check(*generation).and_then(|()| place(shared, *position))
                {
                    return Ok(Err(error));
                }
                let seq = position.seq;
                if !change.in_flight(seq) {
                    let done = change.row.ledger.is_done(seq) && !change.has_refill(seq);
                    return Ok(if done {
                        Ok(Granted::Done)
                    } else {
                        Err(ConsumerError::NotHandedOut { given: *position })
                    });
                }
                // Before anything else is changed: it may be refused.
                if let Some(state) = &done.change
                    && let Err(error) = change.put_state(transaction, state)?
                {
                    return Ok(Err(error));
                }
                match &done.letter {
                    Some(letter) => letters::put(transaction, shared, change, seq, letter)?,
                    None if change.row.ledger.is_done(seq) => {
                        letters::remove(transaction, change, seq)?;
                    }
                    None => {}
                }
                change.remove_refill(transaction, seq)?;
                change.seen();
                change.count(done);
                change.row.ledger.mark(seq);
                change.done.insert(seq);
                Ok(Ok(Granted::Done))
            }
            Wish::Save { generation, change: state } => {
                if let Err(error) = change.check(*generation) {
                    return Ok(Err(error));
                }
                change.seen();
                Ok(change.put_state(transaction, state)?.map(|()| Granted::Done))
            }
            Wish::Unreadable { generation, seq, letter } => {
                if let Err(error) = change.check(*generation) {
                    return Ok(Err(error));
                }
                unreadable(transaction, shared, change, *seq, letter)?;
                Ok(Ok(Granted::Done))
            }
            Wish::Replay { position } => {
                if let Err(error) = place(shared, *position) {
                    return Ok(Err(error));
                }
                let missing = match letters::replay(transaction, change, position.seq)? {
                    Replay::Done => return Ok(Ok(Granted::Done)),
                    Replay::NoLetter => format!("dead letter {position}"),
                    Replay::NoRecord => {
                        format!("record in dead letter {position}: it could not be read")
                    }
                };
                Ok(Err(ConsumerError::NotFound(missing)))
            }
            Wish::ReplayHistory { catch_up } => {
                let now_ms = shared.clock.age_ms();
                let builds = refill::replay_history(transaction, change, *catch_up, now_ms)?;
                Ok(Ok(Granted::Replayed { builds }))
            }
            Wish::DropLetter { position } => {
                if let Err(error) = place(shared, *position) {
                    return Ok(Err(error));
                }
                if !letters::remove(transaction, change, position.seq)? {
                    let text = format!("dead letter {position}");
                    return Ok(Err(ConsumerError::NotFound(text)));
                }
                change.replays.insert(position.seq, false);
                Ok(Ok(Granted::Done))
            }
            Wish::Forget => {
                change.forget(transaction)?;
                Ok(Ok(Granted::Done))
            }
        }
    }

    /// The consumer under a new generation; made anew if there is none.
    fn opened(&mut self, shared: &Shared, journal: &Journal, name: &str) -> &mut Change {
        let known = self.change(shared, name).is_some_and(|change| !change.forgotten);
        if !known {
            self.by_name.remove(name);
        }
        let change = self.by_name.entry(name.to_owned()).or_insert_with(|| {
            let row = ConsumerRow { ledger: Ledger::at(journal.head), ..ConsumerRow::default() };
            Change::of(Arc::new(Core::new(name, row)))
        });
        change.row.generation += 1;
        change
    }

    /// Writes the rows.
    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        if self.by_name.is_empty() {
            return Ok(());
        }
        let mut consumers = transaction.open_table(CONSUMERS)?;
        for (name, change) in &self.by_name {
            if change.forgotten {
                consumers.remove(name.as_str())?;
            } else {
                consumers.insert(name.as_str(), encode(&change.row)?.as_slice())?;
            }
        }
        Ok(())
    }

    /// Shows the handles what is on disk now; whether there are other consumers than before.
    pub(super) fn install(self, shared: &Shared) -> bool {
        let mut listed = false;
        let head = shared.head().seq;
        for (name, change) in self.by_name {
            let Change {
                core,
                row,
                opened,
                forgotten,
                done,
                replays,
                refills,
                values,
                state_bytes,
            } = change;
            {
                let mut state = core.lock();
                state.away_ms = row.away_ms;
                state.row = row;
                state.gone = forgotten;
                for StateChange { set, remove } in values {
                    state.values.retain(|key, _| !remove.contains(key));
                    state.values.extend(set);
                }
                state.state_bytes = state_bytes;
                for seq in done {
                    state.in_flight.remove(&seq);
                }
                put_all(&mut state.replays, &replays);
                put_all(&mut state.refills, &refills);
                if let Some(held) = &opened {
                    state.cursor = state.row.ledger.floor();
                    let again = std::mem::take(&mut state.in_flight);
                    let again: Vec<u64> = again
                        .into_iter()
                        .filter(|seq| {
                            state.row.ledger.is_done(*seq) && !state.refills.contains(seq)
                        })
                        .collect();
                    state.replays.extend(again);
                    for &seq in held {
                        let again = state.replays.remove(&seq) || state.refills.contains(&seq);
                        if again || (seq <= head && !state.row.ledger.is_done(seq)) {
                            state.in_flight.insert(seq);
                        }
                    }
                }
            }
            core.changed.notify_waiters();
            let mut consumers = shared.consumers();
            if forgotten {
                shared.metrics.forget(&name);
                listed |= consumers.remove(&name).is_some();
            } else if opened.is_some() {
                listed |= consumers.insert(name, core).is_none();
            }
        }
        listed
    }
}

fn place(shared: &Shared, given: Position) -> Result<(), ConsumerError> {
    if given.epoch == shared.epoch {
        Ok(())
    } else {
        Err(ConsumerError::OtherJournal { given, epoch: shared.epoch })
    }
}

/// What was handed out as `seq` could not be read. What was dropped meanwhile is done or has
/// another in its place; a record that is damaged is given up.
fn unreadable(
    transaction: &WriteTransaction,
    shared: &Shared,
    change: &mut Change,
    seq: u64,
    letter: &DeadLetter,
) -> Result<(), StoreError> {
    if change.has_refill(seq) && change.refill(transaction, shared, seq)?.is_none() {
        change.remove_refill(transaction, seq)?;
        change.row.refilled = change.row.refilled.saturating_sub(1);
        tracing::warn!(
            consumer = change.name(),
            seq,
            "the history has dropped a build that waited"
        );
    }
    if !change.row.ledger.is_done(seq) {
        letters::put(transaction, shared, change, seq, letter)?;
        change.row.ledger.mark(seq);
    }
    change.done.insert(seq);
    Ok(())
}

/// Adds those that are marked so to a set, and takes the others out.
pub(super) fn put_all(set: &mut BTreeSet<u64>, changes: &BTreeMap<u64, bool>) {
    for (seq, there) in changes {
        if *there {
            set.insert(*seq);
        } else {
            set.remove(seq);
        }
    }
}
