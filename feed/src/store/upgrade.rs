//! Bringing a journal of an earlier format up to the present one, in one transaction.

use super::tables::{
    self, BUILDS, CHANGES, CONSUMERS, ConsumerRow, FINISHED, FORMAT, META, RECORDS, decode, encode,
};
use crate::{StoreError, shared::now_ms, users};
use model::{Build, Change, Event};
use redb::{Database, ReadableTable as _, WriteTransaction};

/// Brings the journal from format `from` to [`FORMAT`]; after a failure it is as it was.
pub(super) fn upgrade(database: &Database, from: u32) -> Result<(), StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    if from < 2 {
        to_2(&transaction)?;
    }
    transaction.open_table(META)?.insert("format", FORMAT.to_le_bytes().as_slice())?;
    transaction.commit()?;
    tracing::info!(from, to = FORMAT, "the journal is of an earlier release and was upgraded");
    Ok(())
}

/// Format 2 has an index of builds whose end is a record, people, and builds to hand out from the
/// history; its consumers tell when they were last seen. What can't be read is left out of the
/// indexes, as readers leave it out.
fn to_2(transaction: &WriteTransaction) -> Result<(), StoreError> {
    tables::make(transaction)?;
    {
        let mut finished = transaction.open_table(FINISHED)?;
        for row in transaction.open_table(RECORDS)?.iter()? {
            let (seq, value) = row?;
            if let Ok(record) = tables::record(value.value())
                && let Event::BuildFinished { build } = record.event
            {
                finished.insert(build.id.0, seq.value())?;
            }
        }
    }
    for row in transaction.open_table(CHANGES)?.iter()? {
        if let Ok(change) = decode::<Change>("a change", row?.1.value()) {
            users::of_change(transaction, &change)?;
        }
    }
    for row in transaction.open_table(BUILDS)?.iter()? {
        if let Ok(build) = decode::<Build>("a build", row?.1.value()) {
            users::of_build(transaction, &build)?;
        }
    }
    let mut consumers = transaction.open_table(CONSUMERS)?;
    let mut rows = Vec::new();
    for row in consumers.iter()? {
        let (name, row) = row?;
        rows.push((name.value().to_owned(), decode::<ConsumerRow>("a consumer", row.value())?));
    }
    for (name, row) in rows {
        let row = ConsumerRow { last_seen_ms: now_ms(), ..row };
        consumers.insert(name.as_str(), encode(&row)?.as_slice())?;
    }
    Ok(())
}
