//! The database file: opening, repair, transactions, and what to do when it fails.

#[cfg(test)]
mod faulty;
mod open;
pub(crate) mod sidecar;
pub(crate) mod tables;
mod upgrade;

use crate::StoreError;
pub(crate) use open::{Loss, Opened, open};
use redb::{Database, ReadTransaction, ReadableDatabase as _, WriteTransaction};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The database and how to open it again.
///
/// redb refuses everything after one failed write, since its memory may then differ from the
/// file. So a failure closes the file and opens it anew, which brings back the last commit;
/// commits carry the allocator's state, so this takes milliseconds.
///
/// The last step of a commit makes sure that it stays. When that fails, the commit failed and yet is in
/// the file: such a one is in doubt until somebody has looked ([`Store::doubt`]).
#[derive(Debug)]
pub(crate) struct Store {
    file: PathBuf,
    cache_bytes: usize,
    min_free_bytes: u64,
    database: RwLock<Option<Database>>,
    closed: AtomicBool,
    /// How often the file was opened again.
    opened: AtomicU64,
    /// The number of a commit that failed and may be in the file; 0 if there is none.
    doubt: AtomicU64,
}

impl Store {
    /// Reads in one consistent transaction. Reads twice if a write failed meanwhile.
    pub(crate) fn read<T>(
        &self,
        body: impl Fn(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let read = || {
            let opened = self.opened.load(Ordering::Acquire);
            let result = self.with(|database| body(&database.begin_read()?));
            self.note(&result);
            if needs_reopening(&result) {
                self.reopen(opened);
            }
            result
        };
        match read() {
            Err(StoreError::Io(_) | StoreError::DiskFull(_)) => read(),
            result => result,
        }
    }

    /// Writes in one transaction, on disk when this returns. After an error nothing is written, or the
    /// commit is in doubt.
    pub(crate) fn write<T>(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.is_down() {
            self.reopen(self.opened.load(Ordering::Acquire));
        }
        let opened = self.opened.load(Ordering::Acquire);
        let mut number = 0;
        let result = self.with(|database| {
            let mut transaction = database.begin_write()?;
            // The file opens at once after a crash, and a torn commit can't be taken for a whole one.
            transaction.set_quick_repair(true);
            let value = body(&transaction)?;
            number = tables::count_commit(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        self.note(&result);
        if needs_reopening(&result) {
            self.doubt.store(number, Ordering::Release);
            self.reopen(opened);
        }
        result
    }

    /// The number of the commit that is in doubt: it failed, and whether it is in the file is to be read
    /// there ([`tables::last_commit`]) before anything else is written.
    pub(crate) fn doubt(&self) -> Option<u64> {
        Some(self.doubt.load(Ordering::Acquire)).filter(|number| *number > 0)
    }

    /// Takes note that somebody has looked.
    pub(crate) fn settle(&self) {
        self.doubt.store(0, Ordering::Release);
    }

    /// Closes the file for good, after the transactions that run.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let mut database = self.database.write().unwrap_or_else(|e| e.into_inner());
        shut(database.take());
    }

    /// Bytes of the file on disk.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }

    fn with<T>(
        &self,
        body: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let guard = self.database.read().unwrap_or_else(|e| e.into_inner());
        let Some(database) = guard.as_ref() else {
            return Err(if self.closed.load(Ordering::Acquire) {
                StoreError::Closed
            } else {
                StoreError::Io("the file could not be opened again after a failure".to_owned())
            });
        };
        // redb may panic on pages that were altered behind its back.
        catch_unwind(AssertUnwindSafe(|| body(database)))
            .unwrap_or_else(|cause| Err(StoreError::Corrupted(panic_text(&*cause))))
    }

    fn is_down(&self) -> bool {
        self.database.read().unwrap_or_else(|e| e.into_inner()).is_none()
    }

    /// Refuses a batch while less than the reserve is free, before it can fail half way and cost a
    /// reopening.
    pub(crate) fn check_room(&self) -> Result<(), StoreError> {
        match self.free_bytes() {
            Some(free) if free < self.min_free_bytes => Err(StoreError::DiskFull(format!(
                "less than {} MB are free in {}",
                self.min_free_bytes >> 20,
                self.file.parent().unwrap_or(&self.file).display()
            ))),
            // What the system does not tell is found out by writing.
            _ => Ok(()),
        }
    }

    /// Bytes that are free for us on the journal's disk, if the system tells.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(self.file.parent()?).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Opens the file anew, unless somebody did so since it was opened for the `opened`th time.
    fn reopen(&self, opened: u64) {
        let mut database = self.database.write().unwrap_or_else(|e| e.into_inner());
        if self.closed.load(Ordering::Acquire) || self.opened.load(Ordering::Acquire) != opened {
            return;
        }
        self.opened.fetch_add(1, Ordering::AcqRel);
        shut(database.take());
        match open::database(&self.file, self.cache_bytes, false) {
            Ok(anew) => *database = Some(anew),
            Err(error) => tracing::error!(%error, "the journal cannot be opened again"),
        }
    }

    /// Leaves a mark beside a damaged file, so that the next start checks it whole.
    fn note<T>(&self, result: &Result<T, StoreError>) {
        if let Err(StoreError::Corrupted(text)) = result {
            tracing::error!(text, "the journal is damaged; it will be checked at the next start");
            if let Err(error) = std::fs::write(mark(&self.file), text) {
                tracing::warn!(%error, "the damage could not be marked");
            }
        }
    }
}

/// The file that says that the database is damaged.
fn mark(file: &Path) -> PathBuf {
    file.with_extension("redb.damaged")
}

fn shut(database: Option<Database>) {
    // Closing may panic on damaged pages like anything else.
    let closed = catch_unwind(AssertUnwindSafe(|| database.map(Database::close)));
    match closed {
        Ok(None | Some(Ok(()))) => {}
        Ok(Some(Err(error))) => tracing::debug!(%error, "closing the journal's file"),
        Err(cause) => tracing::warn!(text = panic_text(&*cause), "closing the journal's file"),
    }
}

fn needs_reopening<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::DiskFull(_) | StoreError::Io(_) | StoreError::Corrupted(_)))
}

fn panic_text(cause: &(dyn std::any::Any + Send)) -> String {
    cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unreadable page".to_owned())
}

/// What a database's error means here.
fn sort_error(error: redb::Error) -> StoreError {
    use redb::Error as E;
    match error {
        E::Io(io) if is_full(&io) => StoreError::DiskFull(io.to_string()),
        E::Io(io)
            if matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            StoreError::Corrupted(io.to_string())
        }
        E::Io(io) => StoreError::Io(io.to_string()),
        E::PreviousIo => StoreError::Io("an earlier failure".to_owned()),
        E::DatabaseClosed => StoreError::Closed,
        E::Corrupted(text) => StoreError::Corrupted(text),
        other @ (E::TableTypeMismatch { .. }
        | E::TypeDefinitionChanged { .. }
        | E::TableDoesNotExist(_)
        | E::TableIsMultimap(_)) => StoreError::Corrupted(other.to_string()),
        other => StoreError::Io(other.to_string()),
    }
}

fn is_full(io: &std::io::Error) -> bool {
    matches!(
        io.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge
    )
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                sort_error(error.into())
            }
        }
    )*};
}
from_redb!(StorageError, TableError, TransactionError, CommitError);
