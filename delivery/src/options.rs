//! How the two loops are driven.

use crate::{TargetState, budget::Budget};
use model::Backoff;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How a target is driven.
#[derive(Clone, Debug)]
pub struct Options {
    /// The resource's name, for metrics and logs.
    pub name: String,
    /// Records at work at once, those that wait for a retry included.
    pub window: usize,
    /// Records beside them of which a part is put off. Where there are more, those that have waited
    /// longest, for an hour at least, are given up.
    pub put_off: usize,
    /// Attempts at once, each until its acknowledgement is on disk: so this is also the most
    /// messages that a kill repeats.
    pub parallel: usize,
    /// The deadline of one attempt.
    pub attempt_timeout: Duration,
    /// Waits between attempts after a transient failure.
    pub backoff: Backoff,
    /// Waits of the whole target while it is misconfigured, or throttled without a time.
    pub hold: Backoff,
    /// A record whose event is older than this when its turn comes is skipped (`too-old`);
    /// nobody wants last week's news. `None` skips nothing.
    pub catch_up: Option<Duration>,
    /// A record that is this much older than its event is given up at its next transient
    /// failure (SMTP's usual five days, RFC 5321 §4.5.4.1); before that it is tried for ever.
    pub max_age: Duration,
    /// What the target's credential allows, shared with all targets that have the same.
    pub budget: Arc<Budget>,
    /// Where the present state goes.
    pub state: watch::Sender<TargetState>,
}

impl Options {
    /// The defaults, under a resource's name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            window: 256,
            put_off: 768,
            parallel: 4,
            attempt_timeout: Duration::from_secs(60),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(120)),
            hold: Backoff::new(Duration::from_secs(15), Duration::from_secs(300)),
            catch_up: None,
            max_age: Duration::from_secs(5 * 24 * 3600),
            budget: Arc::default(),
            state: watch::Sender::default(),
        }
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<TargetState> {
        self.state.subscribe()
    }

    /// Records that a source has to hand out before any of them is done.
    pub fn in_flight(&self) -> usize {
        self.window.saturating_add(self.put_off)
    }
}

/// How a batching target is driven.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// The resource's name, for metrics and logs.
    pub name: String,
    /// Most records in one request.
    pub max_items: usize,
    /// A request this large or larger is halved; a single record this large is a dead letter.
    pub max_bytes: usize,
    /// How long a record waits for others after the last request.
    pub delay: Duration,
    /// Time between attempts after a failure; each carries one record until one is taken.
    pub retry: Duration,
    /// Waits while the receiver is misconfigured, or throttles without a time.
    pub hold: Backoff,
    /// The deadline of one request.
    pub attempt_timeout: Duration,
    /// A record whose event is older than this when its turn comes is skipped (`too-old`).
    pub catch_up: Option<Duration>,
    /// What the target's credential allows, shared with all targets that have the same.
    pub budget: Arc<Budget>,
    /// Records read ahead.
    pub window: usize,
    /// Where the present state goes.
    pub state: watch::Sender<TargetState>,
}

impl BatchOptions {
    /// 0.8's defaults, under a resource's name.
    pub fn new(name: impl Into<String>) -> Self {
        let Options { name, hold, attempt_timeout, catch_up, budget, state, .. } =
            Options::new(name);
        Self {
            name,
            max_items: 200,
            max_bytes: 1 << 20,
            delay: Duration::from_secs(1),
            retry: Duration::from_secs(5),
            hold,
            attempt_timeout,
            catch_up,
            budget,
            window: 256,
            state,
        }
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<TargetState> {
        self.state.subscribe()
    }
}
