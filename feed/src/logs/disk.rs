//! Compressed chunks of logs as files, the least recently used of which go.
//!
//! The files are the truth: nothing else has to agree with them after a kill. A file that is
//! torn does not pass its checksum and is dropped.

use crate::Metrics;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::SystemTime,
};

/// What a file costs on a disk with blocks of 4 KiB.
const BLOCK: u64 = 4096;

/// Which chunk of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) database: u32,
    pub(super) log: u64,
    pub(super) chunk: u64,
}

impl Key {
    fn file_name(self) -> String {
        let Self { database, log, chunk } = self;
        format!("{database}-{log}-{chunk}.gz")
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".gz")?.split('-');
        let key = Self {
            database: parts.next()?.parse().ok()?,
            log: parts.next()?.parse().ok()?,
            chunk: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(key)
    }
}

/// See the module. All methods block.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    max_bytes: u64,
    metrics: Metrics,
    /// Read from the directory when first needed.
    index: Mutex<Option<Index>>,
}

/// What there is, and in which order it was used.
#[derive(Debug, Default)]
struct Index {
    files: HashMap<Key, (u64, u64)>,
    by_use: BTreeMap<u64, Key>,
    clock: u64,
    bytes: u64,
}

impl Index {
    fn insert(&mut self, key: Key, bytes: u64) {
        self.remove(key);
        self.clock += 1;
        self.files.insert(key, (bytes, self.clock));
        self.by_use.insert(self.clock, key);
        self.bytes += bytes;
    }

    fn remove(&mut self, key: Key) {
        if let Some((bytes, used)) = self.files.remove(&key) {
            self.by_use.remove(&used);
            self.bytes -= bytes;
        }
    }

    fn use_now(&mut self, key: Key) -> bool {
        let Some(&(bytes, _)) = self.files.get(&key) else { return false };
        self.insert(key, bytes);
        true
    }
}

impl Disk {
    pub(super) fn new(dir: PathBuf, max_bytes: u64, metrics: Metrics) -> Self {
        Self { dir, max_bytes, metrics, index: Mutex::new(None) }
    }

    /// The text of a chunk.
    pub(super) fn get(&self, key: Key) -> Option<String> {
        if !self.with_index(|index| index.use_now(key)) {
            return None;
        }
        match read(&self.dir.join(key.file_name())) {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::warn!(%error, ?key, "a chunk of a log is unreadable and dropped");
                self.with_index(|index| self.drop_file(index, key));
                None
            }
        }
    }

    /// Keeps the text of a chunk, if it can.
    pub(super) fn put(&self, key: Key, text: &str) {
        if self.max_bytes == 0 {
            return;
        }
        match self.write(key, text) {
            Ok(bytes) => self.with_index(|index| {
                index.insert(key, bytes);
                while index.bytes > self.max_bytes
                    && let Some((_, oldest)) = index.by_use.first_key_value()
                {
                    let oldest = *oldest;
                    self.drop_file(index, oldest);
                }
                self.metrics.log_cache(index.bytes);
            }),
            Err(error) => tracing::warn!(%error, ?key, "a chunk of a log could not be kept"),
        }
    }

    fn write(&self, key: Key, text: &str) -> io::Result<u64> {
        fs::create_dir_all(&self.dir)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes())?;
        let bytes = encoder.finish()?;
        let name = key.file_name();
        let fresh = self.dir.join(format!("{name}.new"));
        if let Err(error) = fs::write(&fresh, &bytes) {
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        fs::rename(fresh, self.dir.join(name))?;
        Ok((bytes.len() as u64).next_multiple_of(BLOCK))
    }

    fn drop_file(&self, index: &mut Index, key: Key) {
        index.remove(key);
        if let Err(error) = fs::remove_file(self.dir.join(key.file_name()))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, ?key, "a chunk of a log could not be removed");
        }
    }

    fn with_index<T>(&self, body: impl FnOnce(&mut Index) -> T) -> T {
        let mut guard: MutexGuard<'_, Option<Index>> =
            self.index.lock().unwrap_or_else(|e| e.into_inner());
        body(guard.get_or_insert_with(|| scan(&self.dir)))
    }
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(file)?).read_to_string(&mut text)?;
    Ok(text)
}

/// What an earlier process left, in the order of its making.
fn scan(dir: &Path) -> Index {
    let mut files: Vec<(SystemTime, Key, u64)> = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        match entry.file_name().to_str().and_then(Key::parse) {
            Some(key) => {
                let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((modified, key, meta.len().next_multiple_of(BLOCK)));
            }
            // Left half-written by a kill.
            None => {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    files.sort_unstable();
    let mut index = Index::default();
    for (_, key, bytes) in files {
        index.insert(key, bytes);
    }
    index
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{BLOCK, Disk, Key};
    use crate::Metrics;
    use std::{fs, path::Path};

    fn key(chunk: u64) -> Key {
        Key { database: 0, log: 7, chunk }
    }

    fn disk(dir: &Path, blocks: u64) -> Disk {
        Disk::new(dir.to_owned(), blocks * BLOCK, Metrics::default())
    }

    #[test]
    fn the_least_recently_used_chunk_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(dir.path(), 3);
        for chunk in 0..3 {
            disk.put(key(chunk), "olisting\n");
        }
        assert!(disk.get(key(0)).is_some());
        disk.put(key(3), "olisting\n");
        assert_eq!(disk.get(key(1)), None);
        assert_eq!(disk.get(key(0)).as_deref(), Some("olisting\n"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn chunks_outlive_the_process_and_torn_ones_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        disk(dir.path(), 9).put(key(1), "oone\n");
        disk(dir.path(), 9).put(key(2), "otwo\n");
        let torn = dir.path().join(key(2).file_name());
        let bytes = fs::read(&torn).unwrap();
        fs::write(&torn, &bytes[..bytes.len() - 3]).unwrap();
        fs::write(dir.path().join("0-7-3.gz.new"), "half").unwrap();
        let again = disk(dir.path(), 9);
        assert_eq!(again.get(key(1)).as_deref(), Some("oone\n"));
        assert_eq!(again.get(key(2)), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
