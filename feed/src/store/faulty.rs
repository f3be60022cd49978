//! A fake: a disk that refuses to make sure that what was written stays. A real one does so when it
//! breaks.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Store, shut};
use redb::{Database, StorageBackend, backends::FileBackend};
use std::{
    fs::OpenOptions,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    /// The sync after so many fails; 0 if none does.
    fails: Arc<AtomicU32>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let left = self.fails.load(Ordering::Relaxed);
        self.fails.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 { Err(io::Error::other("the disk is broken")) } else { self.file.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

impl Store {
    /// Has the `nth` sync from now on fail, and none after it.
    pub(crate) fn fail_sync(&self, nth: u32) {
        let mut database = self.database.write().unwrap();
        shut(database.take());
        let file = OpenOptions::new().read(true).write(true).open(&self.file).unwrap();
        let fails = Arc::new(AtomicU32::new(0));
        let backend = Faulty { file: FileBackend::new(file).unwrap(), fails: Arc::clone(&fails) };
        *database = Some(Database::builder().create_with_backend(backend).unwrap());
        fails.store(nth, Ordering::Relaxed);
    }
}
