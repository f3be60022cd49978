//! Records as JSON, made once for all readers.
//!
//! Readers of new records all want the same few, so these are kept; one that reads on from far
//! behind has its own, and keeps nothing.

use crate::consumer::ledger::BEYOND;
use bytes::Bytes;
use model::{Position, Record};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, OnceLock},
};

/// Most bytes that are kept: about what the records themselves take on disk, see
/// [`crate::Options::tail_bytes`].
const BYTES: usize = 8 << 20;

/// The newest records that were encoded.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_position: BTreeMap<Position, Arc<OnceLock<Bytes>>>,
    /// In the order they came, with their sizes.
    order: VecDeque<(Position, usize)>,
    bytes: usize,
}

impl Encoded {
    /// `record` as JSON, which is kept if it is not older than `newest`.
    pub(super) fn json(&self, record: &Record, newest: Position) -> Bytes {
        // Text, numbers and maps with such keys can't fail.
        let encode = || Bytes::from(serde_json::to_vec(record).unwrap_or_default());
        if record.position < newest || record.position.seq >= BEYOND {
            return encode();
        }
        let cell = {
            let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
            Arc::clone(kept.by_position.entry(record.position).or_default())
        };
        let mut fresh = false;
        // Whoever else wants it now waits for this one, not for all others.
        let json = cell.get_or_init(|| {
            fresh = true;
            encode()
        });
        if fresh {
            self.keep(record.position, json.len(), newest);
        }
        json.clone()
    }

    fn keep(&self, position: Position, size: usize, newest: Position) {
        let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
        kept.order.push_back((position, size));
        kept.bytes += size;
        let old = |kept: &Kept| kept.order.front().is_some_and(|(first, _)| *first < newest);
        while (kept.bytes > BYTES || old(&kept))
            && let Some((position, size)) = kept.order.pop_front()
        {
            kept.bytes -= size;
            kept.by_position.remove(&position);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{BYTES, Encoded};
    use model::{Change, Event, Identity, Position, Record};

    fn record(seq: u64, bytes: usize) -> Record {
        let change = Change { comments: "x".repeat(bytes), ..Change::default() };
        let event = Event::ChangeAdded { change: Box::new(change) };
        let identity = Identity::of(&event, "uid", 1, seq);
        Record { position: Position { epoch: 1, seq }, identity, journaled_ms: 0, event }
    }

    fn at(seq: u64) -> Position {
        Position { epoch: 1, seq }
    }

    #[test]
    fn a_record_is_encoded_once_and_the_oldest_are_let_go() {
        let encoded = Encoded::default();
        let first = encoded.json(&record(1, 10), at(1));
        assert_eq!(first.as_ptr(), encoded.json(&record(1, 10), at(1)).as_ptr(), "the same bytes");
        for seq in 2..40 {
            encoded.json(&record(seq, 1 << 20), at(1));
        }
        let kept = encoded.kept.lock().unwrap();
        assert!(kept.bytes <= BYTES);
        assert_eq!(kept.order.len(), kept.by_position.len());
        assert!(!kept.by_position.contains_key(&at(1)));
    }

    #[test]
    fn what_only_readers_far_behind_want_is_not_kept() {
        let encoded = Encoded::default();
        for seq in 1..=9 {
            encoded.json(&record(seq, 10), at(5));
        }
        assert_eq!(encoded.kept.lock().unwrap().order.len(), 5, "5 to 9");
        encoded.json(&record(10, 10), at(9));
        let kept = encoded.kept.lock().unwrap();
        assert_eq!(kept.by_position.keys().copied().collect::<Vec<_>>(), [at(9), at(10)]);
        assert_eq!(kept.order.len(), 2);
    }
}
