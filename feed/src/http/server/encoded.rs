//! Records as JSON, made once for all readers.

use bytes::Bytes;
use model::{Position, Record};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, OnceLock},
};

/// Most bytes that are kept.
const BYTES: usize = 16 << 20;

/// The records that were encoded last. Readers of new records all want the same few; one that
/// reads on from far behind has its own.
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
    /// `record` as JSON.
    pub(super) fn json(&self, record: &Record) -> Bytes {
        let cell = {
            let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
            Arc::clone(kept.by_position.entry(record.position).or_default())
        };
        let mut fresh = false;
        // Whoever else wants it now waits for this one, not for all others.
        let json = cell.get_or_init(|| {
            fresh = true;
            // Text, numbers and maps with such keys can't fail.
            serde_json::to_vec(record).unwrap_or_default().into()
        });
        if fresh {
            self.keep(record.position, json.len());
        }
        json.clone()
    }

    fn keep(&self, position: Position, size: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
        kept.order.push_back((position, size));
        kept.bytes += size;
        while kept.bytes > BYTES
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

    #[test]
    fn a_record_is_encoded_once_and_the_oldest_are_let_go() {
        let encoded = Encoded::default();
        let first = encoded.json(&record(1, 10));
        assert_eq!(first.as_ptr(), encoded.json(&record(1, 10)).as_ptr(), "the same bytes");
        for seq in 2..40 {
            encoded.json(&record(seq, 1 << 20));
        }
        let kept = encoded.kept.lock().unwrap();
        assert!(kept.bytes <= BYTES);
        assert_eq!(kept.order.len(), kept.by_position.len());
        assert!(!kept.by_position.contains_key(&Position { epoch: 1, seq: 1 }));
    }
}
