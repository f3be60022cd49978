//! Opening a journal: a new one, an old one, a damaged one.

use super::{Store, mark, panic_text, sidecar, sort_error, tables, upgrade};
use crate::{
    JournalLost, LossKind, OpenError, StoreError,
    consumer::ledger::Ledger,
    shared::now_ms,
    store::{
        sidecar::Sidecar,
        tables::{ConsumerRow, FORMAT, Journal, META},
    },
};
use redb::{Database, DatabaseError, ReadableDatabase as _, ReadableTable as _};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

/// An open journal.
pub(crate) struct Opened {
    pub store: Store,
    pub journal: Journal,
    /// About a journal that was lost before this one.
    pub lost: Option<Loss>,
}

/// That a journal was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub kind: LossKind,
    /// Plain words.
    pub text: String,
}

impl Loss {
    fn new(kind: LossKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// How a file was found.
enum Found {
    Journal(Database, Journal),
    Empty(Database),
    Damaged(String),
}

/// Opens or makes the journal in `dir`.
pub(crate) fn open(
    dir: &Path,
    given_uid: Option<&str>,
    expected: Option<u32>,
    cache_bytes: usize,
    min_free_bytes: u64,
) -> Result<Opened, OpenError> {
    let fail = |source| OpenError::Io { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(fail)?;
    let file = dir.join("journal.redb");
    let mut lost = None;
    let (database, journal) = match inspect(dir, &file, cache_bytes)? {
        Found::Journal(database, journal) => {
            if let Some(expected) = expected.filter(|expected| *expected != journal.epoch) {
                let found = journal.epoch;
                let text = format!("the journal {expected} is gone, and {found} is in its place");
                tracing::error!("{text}: what waited for consumers in the former is not sent");
                lost = Some(Loss::new(LossKind::Volume, text));
            }
            (database, journal)
        }
        Found::Empty(database) => {
            let sidecar = sidecar::load(dir);
            if sidecar.is_some() {
                lost = Some(Loss::new(LossKind::File, "the journal's file is gone"));
            } else if let Some(expected) = expected {
                let text = format!("the journal {expected} is gone with its volume");
                lost = Some(Loss::new(LossKind::Volume, text));
            }
            let journal = begin(dir, &database, sidecar, given_uid, expected, LossKind::File)?;
            say(lost.as_ref(), &journal);
            (database, journal)
        }
        Found::Damaged(text) => {
            let aside = move_aside(&file).map_err(fail)?;
            let text = format!("the journal was damaged ({text}); kept as {}", aside.display());
            lost = Some(Loss::new(LossKind::Damaged, text));
            let database = match inspect(dir, &file, cache_bytes)? {
                Found::Empty(database) => database,
                Found::Journal(..) | Found::Damaged(_) => {
                    return Err(fail(io::Error::other("a new file has content")));
                }
            };
            let (sidecar, kind) = (sidecar::load(dir), LossKind::Damaged);
            let journal = begin(dir, &database, sidecar, given_uid, expected, kind)?;
            say(lost.as_ref(), &journal);
            (database, journal)
        }
    };
    if let Some(given) = given_uid
        && given != journal.master
    {
        return Err(OpenError::OtherMaster {
            dir: dir.to_owned(),
            stored: journal.master,
            given: given.to_owned(),
        });
    }
    let store = Store {
        file,
        cache_bytes,
        min_free_bytes,
        database: RwLock::new(Some(database)),
        closed: AtomicBool::new(false),
        opened: AtomicU64::new(0),
        doubt: AtomicU64::new(0),
    };
    Ok(Opened { store, journal, lost })
}

/// Says that a new journal begins in the place of one that was lost.
fn say(lost: Option<&Loss>, journal: &Journal) {
    if let Some(Loss { text, .. }) = lost {
        tracing::error!(
            epoch = journal.epoch,
            "{text}. A new journal begins: consumers start at its head, and events that waited \
             for them are not sent"
        );
    }
}

/// Opens the file and nothing more. With `check` every page is verified.
pub(super) fn database(
    file: &Path,
    cache_bytes: usize,
    check: bool,
) -> Result<Database, DatabaseError> {
    let open = || {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(check);
        builder.set_repair_callback(|_| tracing::info!("the journal's file is being repaired"));
        builder.create(file)
    };
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|cause| {
        Err(DatabaseError::Storage(redb::StorageError::Corrupted(panic_text(&*cause))))
    })
}

fn inspect(dir: &Path, file: &Path, cache_bytes: usize) -> Result<Found, OpenError> {
    let check = mark(file).exists();
    let database = match database(file, cache_bytes, check) {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
            return Err(OpenError::InUse { dir: dir.to_owned() });
        }
        Err(DatabaseError::Storage(redb::StorageError::Io(source)))
            if !matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            return Err(OpenError::Io { dir: dir.to_owned(), source });
        }
        Err(DatabaseError::UpgradeRequired(version)) => {
            let text = format!("its file has redb's format {version}");
            return Err(OpenError::Database { dir: dir.to_owned(), text });
        }
        Err(error) => return Ok(Found::Damaged(error.to_string())),
    };
    let read = || -> Result<_, StoreError> {
        if let Some(format) = tables::format(&database.begin_read()?)?
            && format < FORMAT
        {
            upgrade::upgrade(&database, format)?;
        }
        let transaction = database.begin_read()?;
        match tables::format(&transaction)? {
            None => Ok(None),
            Some(format) if format > FORMAT => Ok(Some((format, None))),
            Some(format) => {
                let journal = tables::journal(&transaction)?;
                let records = transaction.open_table(tables::RECORDS)?;
                let last = records.last()?.map(|(seq, _)| seq.value());
                if last.is_some_and(|last| last != journal.head) {
                    return Err(StoreError::Corrupted(
                        "the newest record is not the head".to_owned(),
                    ));
                }
                Ok(Some((format, Some(journal))))
            }
        }
    };
    let found = catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|cause| Err(StoreError::Corrupted(panic_text(&*cause))));
    match found {
        Ok(None) => Ok(Found::Empty(database)),
        Ok(Some((_, Some(journal)))) => {
            if check {
                // The check found everything in order.
                let _ = fs::remove_file(mark(file));
            }
            Ok(Found::Journal(database, journal))
        }
        Ok(Some((found, None))) => {
            Err(OpenError::NewerFormat { dir: dir.to_owned(), found, known: FORMAT })
        }
        Err(StoreError::Corrupted(text)) => {
            super::shut(Some(database));
            Ok(Found::Damaged(text))
        }
        Err(error) => Err(OpenError::Database { dir: dir.to_owned(), text: error.to_string() }),
    }
}

/// Writes the first rows of a journal.
fn begin(
    dir: &Path,
    database: &Database,
    sidecar: Option<Sidecar>,
    given_uid: Option<&str>,
    expected: Option<u32>,
    reason: LossKind,
) -> Result<Journal, OpenError> {
    let sidecar = sidecar.unwrap_or_default();
    // By the clock, so that it is higher than before even if the whole directory is lost.
    let seconds = u32::try_from(now_ms() / 1000).unwrap_or(u32::MAX);
    let before = sidecar.epoch.max(expected.unwrap_or_default());
    let epoch = seconds.max(before.saturating_add(1));
    let master = match given_uid {
        Some(uid) => uid.to_owned(),
        None if !sidecar.master.is_empty() => sidecar.master.clone(),
        None => make_uid(),
    };
    let journal = Journal { epoch, master, ..Journal::default() };
    let write = || -> Result<(), StoreError> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        tables::make(&transaction)?;
        transaction.open_table(META)?.insert("format", FORMAT.to_le_bytes().as_slice())?;
        tables::put_journal(&transaction, &journal)?;
        {
            let mut consumers = transaction.open_table(tables::CONSUMERS)?;
            for (name, stood) in &sidecar.consumers {
                let row = ConsumerRow {
                    ledger: Ledger::at(0),
                    generation: stood.generation,
                    lost: Some(JournalLost {
                        previous: stood.floor,
                        backlog: stood.backlog,
                        at_ms: now_ms(),
                        reason,
                    }),
                    last_seen_ms: now_ms(),
                    ..ConsumerRow::default()
                };
                consumers.insert(name.as_str(), tables::encode(&row)?.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    };
    write()
        .map_err(|error| OpenError::Database { dir: dir.to_owned(), text: error.to_string() })?;
    Ok(journal)
}

/// Moves a damaged file to the first free `journal.redb.broken-N`.
fn move_aside(file: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    let aside = loop {
        let candidate = file.with_extension(format!("redb.broken-{number}"));
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    fs::rename(file, &aside)?;
    let _ = fs::remove_file(mark(file));
    Ok(aside)
}

fn make_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        sort_error(error.into())
    }
}
