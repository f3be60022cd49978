//! What is on disk of consumers, when the journal opens.

use super::{core::Core, words::state_bytes};
use crate::{
    StoreError,
    store::tables::{CONSUMERS, ConsumerRow, LETTERS, LetterRow, REFILLS, STATE, decode},
};
use redb::{ReadTransaction, ReadableTable as _};
use std::{collections::BTreeMap, sync::Arc};

/// All consumers, with their state and what is to be replayed.
pub(crate) fn all(
    transaction: &ReadTransaction,
) -> Result<BTreeMap<String, Arc<Core>>, StoreError> {
    let mut consumers = BTreeMap::new();
    let (state, letters) = (transaction.open_table(STATE)?, transaction.open_table(LETTERS)?);
    let refills = transaction.open_table(REFILLS)?;
    for row in transaction.open_table(CONSUMERS)?.iter()? {
        let (name, row) = row?;
        let name = name.value();
        let row: ConsumerRow = decode("a consumer", row.value())?;
        let dead = row.letters > 0;
        let core = Core::new(name, row);
        {
            let mut own = core.lock();
            for row in state.range((name, "")..)? {
                let (key, value) = row?;
                let (owner, key) = key.value();
                if owner != name {
                    break;
                }
                own.state_bytes += state_bytes(key, value.value());
                own.values.insert(key.to_owned(), value.value().to_vec());
            }
            for row in refills.range((name, 0)..=(name, u64::MAX))? {
                own.refills.insert(row?.0.value().1);
            }
            if dead {
                for row in letters.range((name, 0)..=(name, u64::MAX))? {
                    let (key, value) = row?;
                    if decode::<LetterRow>("a dead letter", value.value())?.replay {
                        own.replays.insert(key.value().1);
                    }
                }
            }
        }
        consumers.insert(name.to_owned(), Arc::new(core));
    }
    Ok(consumers)
}
