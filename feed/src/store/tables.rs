//! The tables and their rows.
//!
//! Values are MessagePack maps by field name, so that a release may add fields: the one before
//! ignores them. Anything else, a further table among them, needs a higher [`FORMAT`] and a step
//! in [`super::upgrade`], by which a journal of every earlier format opens. A release refuses a
//! format that is higher than its own.

use crate::{CatchUp, DeadLetter, Gap, JournalLost, StoreError, consumer::ledger::Ledger};
use model::{Highest, Record, Waiting, World};
use redb::{
    ReadTransaction, ReadableTable as _, TableDefinition, TableHandle as _, WriteTransaction,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of all that is below.
pub(crate) const FORMAT: u32 = 2;

/// `format` → FORMAT, little endian; `journal` → [`Journal`]; `fingerprints`; `world` → [`WorldMeta`];
/// `commits` → how many there were, little endian.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Sequence → when it was journaled (ms), checksum, [`Record`]. redb verifies pages only when it
/// repairs; a bit that flipped on disk must not become a mail.
pub(crate) const RECORDS: TableDefinition<'_, u64, (i64, u32, &[u8])> =
    TableDefinition::new("records");
/// Build's key → [`model::Build`], finished.
pub(crate) const BUILDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("builds");
/// Builder's key and build's number → build's key.
pub(crate) const NUMBERS: TableDefinition<'_, (u64, u64), u64> = TableDefinition::new("numbers");
/// Build's key → sequence of the record that told of its end; missing for builds of the past.
pub(crate) const FINISHED: TableDefinition<'_, u64, u64> = TableDefinition::new("finished");
/// Change's key → [`model::Change`].
pub(crate) const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");
/// Key of a complete log → its lines.
pub(crate) const LOGS: TableDefinition<'_, u64, u64> = TableDefinition::new("logs");
/// [`WorldKind`] and key → a row of the world.
pub(crate) const WORLD: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("world");
/// Name → [`ConsumerRow`].
pub(crate) const CONSUMERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("consumers");
/// Consumer and key → value.
pub(crate) const STATE: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("state");
/// Consumer and sequence → [`LetterRow`].
pub(crate) const LETTERS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("letters");

/// Consumer and sequence → [`RefillRow`].
pub(crate) const REFILLS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("refills");
/// Name → [`UserRow`].
pub(crate) const USERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("users");

/// What a journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Journal {
    /// Which journal of this master; higher after a loss.
    pub epoch: u32,
    /// Which database of the master.
    pub database: u32,
    /// The master's UID.
    pub master: String,
    /// Sequence of the newest record.
    pub head: u64,
    /// Bytes of all records.
    pub bytes: u64,
    /// Whether a batch was ever written.
    pub used: bool,
}

/// The scalar part of [`World`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WorldMeta {
    pub title: String,
    pub title_url: String,
    pub buildbot_url: String,
    pub version: String,
    pub highest: Highest,
    pub waiting: Waiting,
}

impl WorldMeta {
    pub(crate) fn of(world: &World) -> Self {
        Self {
            title: world.title.clone(),
            title_url: world.title_url.clone(),
            buildbot_url: world.buildbot_url.clone(),
            version: world.version.clone(),
            highest: world.highest,
            waiting: world.waiting.clone(),
        }
    }
}

/// The parts of [`World`] that are kept row by row; numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WorldKind {
    Builder = 1,
    Worker = 2,
    Open = 3,
    Request = 4,
    Buildset = 5,
    Recent = 6,
}

impl WorldKind {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Builder, Self::Worker, Self::Open, Self::Request, Self::Buildset, Self::Recent]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A consumer's place in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumerRow {
    pub ledger: Ledger,
    pub generation: u64,
    pub letters: u64,
    pub expired: u64,
    pub refilled: u64,
    /// Records of which the peer took all or a part.
    pub delivered: u64,
    /// Attempts that failed, of records that are done.
    pub failed: u64,
    /// When the peer last took something (ms).
    pub last_delivered_ms: Option<i64>,
    pub gap: Option<Gap>,
    pub lost: Option<JournalLost>,
    pub max_backlog_ms: i64,
    pub catch_up: Option<CatchUp>,
    /// When it was last opened or said something (ms).
    pub last_seen_ms: i64,
    /// How long it has been away since, counted while the journal was open, now and then written (ms).
    pub away_ms: u64,
}

/// A finished build that is handed out from the history, under the sequence of the record that
/// was dropped, or under [`crate::consumer::ledger::BEYOND`] plus its key if there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RefillRow {
    /// The build's key.
    pub build: u64,
    /// Of the record; 0 if that is not known.
    pub journaled_ms: i64,
}

/// Somebody whom changes or builds name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct UserRow {
    pub address: Option<String>,
    /// When a change or build last named them (ms).
    pub seen_ms: i64,
}

/// A record that was given up, whole, since the journal may drop it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LetterRow {
    /// Missing when the record itself could not be read.
    pub record: Option<Record>,
    #[serde(default)]
    pub letter: DeadLetter,
    #[serde(default)]
    pub replay: bool,
}

/// MessagePack by field name.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(value)
        .map_err(|error| StoreError::Io(format!("a row cannot be encoded: {error}")))
}

/// Deepest nesting of a row: that of a property as JSON has it (128), and what it stands in.
const DEPTH: usize = 192;

/// The reverse of [`encode`].
pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    // A damaged row may be nested deeper than a thread's stack is high.
    reader.set_max_depth(DEPTH);
    T::deserialize(&mut reader)
        .map_err(|error| StoreError::Corrupted(format!("{what} cannot be decoded: {error}")))
}

/// CRC-32 of a record's bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The record in a row of [`RECORDS`].
pub(crate) fn record((_, sum, bytes): (i64, u32, &[u8])) -> Result<Record, StoreError> {
    if checksum(bytes) != sum {
        return Err(StoreError::Corrupted("a record's checksum is wrong".to_owned()));
    }
    decode("a record", bytes)
}

/// Makes every table, so that readers find them.
pub(crate) fn make(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction.open_table(META)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(BUILDS)?;
    transaction.open_table(NUMBERS)?;
    transaction.open_table(CHANGES)?;
    transaction.open_table(LOGS)?;
    transaction.open_table(WORLD)?;
    transaction.open_table(CONSUMERS)?;
    transaction.open_table(STATE)?;
    transaction.open_table(LETTERS)?;
    transaction.open_table(FINISHED)?;
    transaction.open_table(REFILLS)?;
    transaction.open_table(USERS)?;
    Ok(())
}

/// The format on disk; `None` in a database without tables.
pub(crate) fn format(transaction: &ReadTransaction) -> Result<Option<u32>, StoreError> {
    if !transaction.list_tables()?.any(|table| table.name() == "meta") {
        return Ok(None);
    }
    let meta = transaction.open_table(META)?;
    let Some(value) = meta.get("format")? else { return Ok(None) };
    let bytes = value.value().try_into().map_err(|_| {
        StoreError::Corrupted("the format's number does not have four bytes".to_owned())
    })?;
    Ok(Some(u32::from_le_bytes(bytes)))
}

/// The journal's row.
pub(crate) fn journal(transaction: &ReadTransaction) -> Result<Journal, StoreError> {
    let meta = transaction.open_table(META)?;
    match meta.get("journal")? {
        Some(value) => decode("the journal's row", value.value()),
        None => Err(StoreError::Corrupted("the journal's row is missing".to_owned())),
    }
}

/// Writes the journal's row.
pub(crate) fn put_journal(
    transaction: &WriteTransaction,
    journal: &Journal,
) -> Result<(), StoreError> {
    put_meta(transaction, "journal", journal)
}

/// Counts a commit in itself; its number.
pub(crate) fn count_commit(transaction: &WriteTransaction) -> Result<u64, StoreError> {
    let mut meta = transaction.open_table(META)?;
    let number = number(meta.get("commits")?.map(|row| row.value().to_vec())) + 1;
    meta.insert("commits", number.to_le_bytes().as_slice())?;
    Ok(number)
}

/// The number of the last commit.
pub(crate) fn last_commit(transaction: &ReadTransaction) -> Result<u64, StoreError> {
    let meta = transaction.open_table(META)?;
    Ok(number(meta.get("commits")?.map(|row| row.value().to_vec())))
}

/// 0 where earlier releases counted none.
fn number(row: Option<Vec<u8>>) -> u64 {
    row.and_then(|row| row.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Writes a row of [`META`].
pub(crate) fn put_meta<T: Serialize>(
    transaction: &WriteTransaction,
    key: &str,
    value: &T,
) -> Result<(), StoreError> {
    transaction.open_table(META)?.insert(key, encode(value)?.as_slice())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decode;
    use serde_json::Value;

    #[test]
    fn a_row_that_is_nested_without_end_is_refused_before_the_stack_ends() {
        // Lists of one within each other, and null in the last.
        let nested = |depth| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(decode::<Value>("a row", &nested(150)).is_ok());
        let refused = decode::<Value>("a row", &nested(100_000)).map_err(|error| error.to_string());
        assert!(refused.is_err_and(|said| said.contains("a row cannot be decoded")));
    }
}
