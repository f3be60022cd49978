//! What can go wrong, by caller.

use master::ClientError;
use model::Position;
use std::{io, path::PathBuf};

/// Why a journal was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later release wrote it.
    #[error(
        "the journal in {dir} has format {found}, and this release reads up to format {known}: \
         start the release that wrote it, or move the file away and begin anew"
    )]
    NewerFormat {
        /// The journal's directory.
        dir: PathBuf,
        /// The format on disk.
        found: u32,
        /// The newest format that this release knows.
        known: u32,
    },
    /// The journal is of another master.
    #[error(
        "the journal in {dir} is of the master with UID {stored}, not of {given}: give this \
         master a directory of its own"
    )]
    OtherMaster {
        /// The journal's directory.
        dir: PathBuf,
        /// The UID on disk.
        stored: String,
        /// The UID in the options.
        given: String,
    },
    /// Another process has it open.
    #[error("the journal in {dir} is in use by another process")]
    InUse {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// The directory or file can't be read or written.
    #[error("the journal in {dir} cannot be opened: {source}")]
    Io {
        /// The journal's directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database failed in another way.
    #[error("the journal in {dir} cannot be opened: {text}")]
    Database {
        /// The journal's directory.
        dir: PathBuf,
        /// What the database says.
        text: String,
    },
}

/// Why something was not read from or written to the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room left. Reading goes on; writing heals when there is room.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// The disk or file system fails.
    #[error("the disk fails: {0}")]
    Io(String),
    /// The file is damaged. The next start checks it whole and begins a new journal if need be.
    #[error("the journal is damaged: {0}")]
    Corrupted(String),
    /// The feed was closed.
    #[error("the journal is closed")]
    Closed,
    /// A feed elsewhere gives no answer.
    #[error("the feed does not answer: {0}")]
    Away(String),
    /// A feed elsewhere says no.
    #[error("the feed refuses: {0}")]
    Refused(String),
}

/// Why a query has no answer.
pub type ReadError = StoreError;

/// Why the text of a log is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No master is there to be asked, and the lines are not in the cache.
    #[error("the lines are not kept here, and no master is connected")]
    NoSource,
    /// The master did not give them.
    #[error(transparent)]
    Master(#[from] ClientError),
    /// The journal did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a consumer's wish is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// The consumer was opened anew; only the newest may read and acknowledge.
    #[error("consumer {name} was opened anew (generation {newer}); generation {own} is refused")]
    Superseded {
        /// The consumer's name.
        name: String,
        /// The refused generation.
        own: u64,
        /// The generation that holds.
        newer: u64,
    },
    /// The position is of a journal that is lost.
    #[error("position {given} is of another journal than the present one, {epoch}")]
    OtherJournal {
        /// The position in question.
        given: Position,
        /// The present journal's epoch.
        epoch: u32,
    },
    /// The position was not handed out since the consumer was opened.
    #[error("position {given} was not handed out, so it cannot be acknowledged")]
    NotHandedOut {
        /// The position in question.
        given: Position,
    },
    /// A name, key or value is empty or too large.
    #[error("{0}")]
    Bounds(String),
    /// There is no such consumer or dead letter.
    #[error("there is no {0}")]
    NotFound(String),
    /// The journal did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
