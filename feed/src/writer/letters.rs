//! Dead letters: records that were given up, kept whole with the reason.

use super::change::Change;
use crate::{
    DeadLetter, StoreError,
    shared::Shared,
    store::tables::{self, LETTERS, LetterRow, RECORDS, decode, encode},
};
use redb::{ReadableTable as _, WriteTransaction};

/// Keeps a letter about what is in flight as `seq`.
pub(super) fn put(
    transaction: &WriteTransaction,
    shared: &Shared,
    change: &mut Change,
    seq: u64,
    letter: &DeadLetter,
) -> Result<(), StoreError> {
    let mut letters = transaction.open_table(LETTERS)?;
    let key = (change.name(), seq);
    let earlier = match letters.get(key)? {
        Some(row) => Some(decode::<LetterRow>("a dead letter", row.value())?),
        None => None,
    };
    let record = match earlier {
        Some(row) => row.record,
        None => {
            let row = transaction.open_table(RECORDS)?;
            let row = row.get(seq)?;
            let there = row.is_some();
            // A record that can't be decoded is parked for that very reason.
            let record = match row.and_then(|row| tables::record(row.value()).ok()) {
                Some(record) => Some(record),
                None => change.refill(transaction, shared, seq)?,
            };
            if record.is_none() && !there {
                // Dropped while it was in flight, as is counted; or its letter was.
                tracing::warn!(consumer = change.name(), seq, "given up after it was dropped");
                return Ok(());
            }
            record
        }
    };
    let row = LetterRow { record, letter: letter.clone(), replay: false };
    if letters.insert((change.name(), seq), encode(&row)?.as_slice())?.is_none() {
        change.row.letters += 1;
    }
    Ok(())
}

/// Removes the letter about `seq`; false if there is none.
pub(super) fn remove(
    transaction: &WriteTransaction,
    change: &mut Change,
    seq: u64,
) -> Result<bool, StoreError> {
    let mut letters = transaction.open_table(LETTERS)?;
    let known = letters.remove((change.name(), seq))?.is_some();
    if known {
        change.row.letters = change.row.letters.saturating_sub(1);
    }
    Ok(known)
}

/// What came of the wish to hand a letter's record out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// It will be.
    Done,
    /// There is no letter.
    NoLetter,
    /// The letter is about a record that can't be read.
    NoRecord,
}

/// Has the record of the letter about `seq` handed out again.
pub(super) fn replay(
    transaction: &WriteTransaction,
    change: &mut Change,
    seq: u64,
) -> Result<Replay, StoreError> {
    let mut letters = transaction.open_table(LETTERS)?;
    let key = (change.name(), seq);
    let row = match letters.get(key)? {
        Some(row) => decode::<LetterRow>("a dead letter", row.value())?,
        None => return Ok(Replay::NoLetter),
    };
    if row.record.is_none() {
        return Ok(Replay::NoRecord);
    }
    letters.insert(key, encode(&LetterRow { replay: true, ..row })?.as_slice())?;
    if !change.in_flight(seq) {
        change.replays.insert(seq, true);
    }
    Ok(Replay::Done)
}
