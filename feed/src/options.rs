//! What can be set about a journal, with defaults that suit one master.

use crate::Metrics;
use model::Position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Settings of a [`crate::Feed`].
#[derive(Clone, Debug)]
pub struct Options {
    /// UID of the master whose journal this is. `None` takes the one in the journal, or makes
    /// one for an empty journal.
    pub master_uid: Option<String>,
    /// The journal's epoch as somebody else remembers it. Another one, or no journal, says that
    /// the journal was lost, even where nothing else is left to say so.
    pub expected_epoch: Option<u32>,
    /// How long events stay for readers that were away.
    pub retention: Retention,
    /// How much of the past stays for pages.
    pub history: History,
    /// Bound of a consumer's records in flight, where [`ConsumerOptions::window`] says nothing.
    pub window: usize,
    /// Notices that a follower may lag behind before it misses passing signs of life.
    pub follower_buffer: usize,
    /// Bytes of the newest records kept in memory for all readers together.
    pub tail_bytes: usize,
    /// How long an acknowledgement waits for others to share its commit.
    pub group_commit: Duration,
    /// How long a consumer may be away, while the feed is open, before it is forgotten. It is there
    /// as long as a [`crate::Consumer`] or [`crate::ConsumerHandle`] of it is.
    pub forget_after: Duration,
    /// How often what has outlived its time is dropped.
    pub maintenance: Duration,
    /// Bytes of pages that the database keeps in memory.
    pub cache_bytes: usize,
    /// Bytes of the disk that the master's batches leave free. Consumers' acknowledgements and
    /// opening again after a failure need some.
    pub min_free_bytes: u64,
    /// Bytes on disk for the text of finished logs.
    pub log_cache_bytes: u64,
    /// Where figures go; unregistered by default.
    pub metrics: Metrics,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            master_uid: None,
            expected_epoch: None,
            retention: Retention::default(),
            history: History::default(),
            window: 256,
            follower_buffer: 1024,
            tail_bytes: 8 << 20,
            group_commit: Duration::from_millis(3),
            forget_after: 30 * DAY,
            maintenance: Duration::from_secs(30),
            cache_bytes: 64 << 20,
            min_free_bytes: 16 << 20,
            log_cache_bytes: 1 << 30,
            metrics: Metrics::default(),
        }
    }
}

/// When events are dropped: when either of the first two bounds is passed, and no durable consumer
/// waits for them within its own [`ConsumerOptions::max_backlog_age`]; and whoever waits, when the
/// third is passed.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Time since an event was journaled.
    pub max_age: Duration,
    /// Bytes of all events together.
    pub max_bytes: u64,
    /// Bytes of all events together, those that consumers wait for included: what a consumer that
    /// is away may cost in the end. Passed by one batch at most.
    pub max_backlog_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self::new(14 * DAY, 512 << 20)
    }
}

impl Retention {
    /// With room for what consumers wait for that is twice the room for all else.
    pub const fn new(max_age: Duration, max_bytes: u64) -> Self {
        Self { max_age, max_bytes, max_backlog_bytes: max_bytes.saturating_mul(2) }
    }
}

/// When finished builds and changes are dropped.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Finished builds kept, the highest keys.
    pub max_builds: u64,
    /// Changes kept, the highest keys.
    pub max_changes: u64,
    /// Time since a build finished; `None` keeps them by count only.
    pub max_age: Option<Duration>,
    /// People kept, those seen last.
    pub max_users: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { max_builds: 20_000, max_changes: 20_000, max_age: None, max_users: 10_000 }
    }
}

/// Settings of a [`crate::Consumer`].
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// Most records handed out and not yet done with; `None` takes [`Options::window`].
    pub window: Option<usize>,
    /// How long events wait for this consumer; older ones may be dropped and are then counted
    /// as expired. Within [`Retention::max_backlog_bytes`].
    pub max_backlog_age: Duration,
    /// What to do about events that were dropped before they were done: nothing if `None`.
    pub catch_up: Option<CatchUp>,
    /// Records that the consumer was handed under an earlier generation and still works on: they
    /// are in flight from the start, and are not handed out again.
    pub held: Vec<Position>,
    /// The floor that the consumer had when it was last heard of. In another journal than this
    /// one it says that the journal was lost, even where nothing else is left to say so.
    pub known: Option<Position>,
}

/// How much of the history a consumer is handed in place of events that were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CatchUp {
    /// Only builds that finished within this time, in milliseconds; `None` is without bound.
    pub max_age_ms: Option<u64>,
    /// At most so many builds, the newest.
    pub max_builds: u64,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { max_age_ms: None, max_builds: 1000 }
    }
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            window: None,
            max_backlog_age: 7 * DAY,
            catch_up: None,
            held: Vec::new(),
            known: None,
        }
    }
}
