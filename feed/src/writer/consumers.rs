//! Consumers' wishes on their way to disk.

use crate::{
    CatchUp, ConsumerError, DeadLetter, StateChange, StoreError,
    consumer::{core::Core, ledger::Ledger},
    shared::Shared,
    store::tables::{
        self, CONSUMERS, ConsumerRow, Journal, LETTERS, LetterRow, RECORDS, STATE, decode, encode,
    },
};
use model::Position;
use redb::{ReadableTable as _, WriteTransaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A wish, and whose.
pub(crate) struct ConsumerJob {
    pub(crate) name: String,
    pub(crate) wish: Wish,
}

/// See [`crate::ConsumerHandle`] and [`crate::Feed`].
pub(crate) enum Wish {
    Open {
        max_backlog_ms: i64,
        catch_up: Option<CatchUp>,
        held: BTreeSet<u64>,
    },
    Done {
        generation: u64,
        position: Position,
        change: Option<StateChange>,
        letter: Option<DeadLetter>,
    },
    Save {
        generation: u64,
        change: StateChange,
    },
    Replay {
        position: Position,
    },
    Forget,
}

/// The answer to a wish.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Granted {
    Opened { generation: u64 },
    Done,
}

/// What a transaction changes of consumers, to be installed once it is on disk.
#[derive(Default)]
pub(crate) struct Changes {
    by_name: BTreeMap<String, Change>,
}

struct Change {
    core: Arc<Core>,
    row: ConsumerRow,
    /// Opened anew, with these records in flight.
    opened: Option<BTreeSet<u64>>,
    forgotten: bool,
    done: Vec<u64>,
    replays: Vec<u64>,
    values: Vec<StateChange>,
}

impl Change {
    fn of(core: Arc<Core>) -> Self {
        let row = core.lock().row.clone();
        Self {
            core,
            row,
            opened: None,
            forgotten: false,
            done: Vec::new(),
            replays: Vec::new(),
            values: Vec::new(),
        }
    }

    fn check(&self, own: u64) -> Result<(), ConsumerError> {
        if self.forgotten {
            return Err(ConsumerError::NotFound(format!("consumer {}", self.core.name)));
        }
        let newer = self.row.generation;
        if own == newer {
            Ok(())
        } else {
            Err(ConsumerError::Superseded { name: self.core.name.clone(), own, newer })
        }
    }
}

impl Changes {
    /// The consumer as this transaction has it so far.
    pub(super) fn of(&mut self, shared: &Shared, name: &str) -> Option<&mut ConsumerRow> {
        self.change(shared, name).map(|change| &mut change.row)
    }

    fn change(&mut self, shared: &Shared, name: &str) -> Option<&mut Change> {
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
        job: &ConsumerJob,
    ) -> Result<Result<Granted, ConsumerError>, StoreError> {
        let name = job.name.as_str();
        if let Wish::Open { max_backlog_ms, catch_up, held } = &job.wish {
            let change = self.opened(shared, journal, name);
            change.row.max_backlog_ms = *max_backlog_ms;
            change.row.catch_up = *catch_up;
            change.opened = Some(held.clone());
            return Ok(Ok(Granted::Opened { generation: change.row.generation }));
        }
        let Some(change) = self.change(shared, name) else {
            return Ok(Err(ConsumerError::NotFound(format!("consumer {name}"))));
        };
        match &job.wish {
            Wish::Open { .. } => Ok(Ok(Granted::Done)),
            Wish::Done { generation, position, change: state, letter } => {
                if let Err(error) =
                    change.check(*generation).and_then(|()| place(shared, *position))
                {
                    return Ok(Err(error));
                }
                let seq = position.seq;
                let in_flight =
                    change.core.lock().in_flight.contains(&seq) && !change.done.contains(&seq);
                if !in_flight {
                    return Ok(if change.row.ledger.is_done(seq) {
                        Ok(Granted::Done)
                    } else {
                        Err(ConsumerError::NotHandedOut { given: *position })
                    });
                }
                match letter {
                    Some(letter) => put_letter(transaction, change, seq, letter)?,
                    None if change.row.ledger.is_done(seq) => {
                        remove_letter(transaction, change, seq)?;
                    }
                    None => {}
                }
                change.row.ledger.mark(seq);
                change.done.push(seq);
                if let Some(state) = state {
                    put_state(transaction, change, state)?;
                }
                Ok(Ok(Granted::Done))
            }
            Wish::Save { generation, change: state } => {
                if let Err(error) = change.check(*generation) {
                    return Ok(Err(error));
                }
                put_state(transaction, change, state)?;
                Ok(Ok(Granted::Done))
            }
            Wish::Replay { position } => {
                if let Err(error) = place(shared, *position) {
                    return Ok(Err(error));
                }
                replay(transaction, change, *position)
            }
            Wish::Forget => {
                forget(transaction, name)?;
                change.forgotten = true;
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
            let Change { core, row, opened, forgotten, done, replays, values } = change;
            {
                let mut state = core.lock();
                state.row = row;
                state.gone = forgotten;
                for StateChange { set, remove } in values {
                    state.values.retain(|key, _| !remove.contains(key));
                    state.values.extend(set);
                }
                for seq in done {
                    state.in_flight.remove(&seq);
                }
                state.replays.extend(replays);
                if let Some(held) = &opened {
                    state.cursor = state.row.ledger.floor();
                    let again = std::mem::take(&mut state.in_flight);
                    let again: Vec<u64> =
                        again.into_iter().filter(|seq| state.row.ledger.is_done(*seq)).collect();
                    state.replays.extend(again);
                    for &seq in held.iter().filter(|seq| **seq <= head) {
                        let replayed = state.replays.remove(&seq);
                        if replayed || !state.row.ledger.is_done(seq) {
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

fn put_letter(
    transaction: &WriteTransaction,
    change: &mut Change,
    seq: u64,
    letter: &DeadLetter,
) -> Result<(), StoreError> {
    let mut letters = transaction.open_table(LETTERS)?;
    let key = (change.core.name.as_str(), seq);
    let earlier = match letters.get(key)? {
        Some(row) => Some(decode::<LetterRow>("a dead letter", row.value())?),
        None => None,
    };
    let record = match earlier {
        Some(row) => row.record,
        None => {
            change.row.letters += 1;
            let records = transaction.open_table(RECORDS)?;
            // A record that can't be decoded is parked for that very reason.
            let row = records.get(seq)?;
            row.and_then(|row| tables::record(row.value()).ok())
        }
    };
    let row = LetterRow { record, letter: letter.clone(), replay: false };
    letters.insert(key, encode(&row)?.as_slice())?;
    Ok(())
}

fn remove_letter(
    transaction: &WriteTransaction,
    change: &mut Change,
    seq: u64,
) -> Result<(), StoreError> {
    let mut letters = transaction.open_table(LETTERS)?;
    if letters.remove((change.core.name.as_str(), seq))?.is_some() {
        change.row.letters = change.row.letters.saturating_sub(1);
    }
    Ok(())
}

fn replay(
    transaction: &WriteTransaction,
    change: &mut Change,
    position: Position,
) -> Result<Result<Granted, ConsumerError>, StoreError> {
    let mut letters = transaction.open_table(LETTERS)?;
    let key = (change.core.name.as_str(), position.seq);
    let row = match letters.get(key)? {
        Some(row) => decode::<LetterRow>("a dead letter", row.value())?,
        None => return Ok(Err(ConsumerError::NotFound(format!("dead letter {position}")))),
    };
    if row.record.is_none() {
        let text = format!("record in dead letter {position}: it could not be read");
        return Ok(Err(ConsumerError::NotFound(text)));
    }
    letters.insert(key, encode(&LetterRow { replay: true, ..row })?.as_slice())?;
    let in_flight = change.core.lock().in_flight.contains(&position.seq);
    if !in_flight || change.done.contains(&position.seq) {
        change.replays.push(position.seq);
    }
    Ok(Ok(Granted::Done))
}

fn put_state(
    transaction: &WriteTransaction,
    change: &mut Change,
    state: &StateChange,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(STATE)?;
    let name = change.core.name.as_str();
    for key in &state.remove {
        table.remove((name, key.as_str()))?;
    }
    for (key, value) in &state.set {
        table.insert((name, key.as_str()), value.as_slice())?;
    }
    change.values.push(state.clone());
    Ok(())
}

fn forget(transaction: &WriteTransaction, name: &str) -> Result<(), StoreError> {
    let mut state = transaction.open_table(STATE)?;
    state.retain(|(owner, _), _| owner != name)?;
    let mut letters = transaction.open_table(LETTERS)?;
    letters.retain(|(owner, _), _| owner != name)?;
    Ok(())
}
