//! Keeps a target's state and metrics in step.

use crate::{Health, Metrics, Problem, SendError, Sent, TargetState};
use model::{Record, Timestamp};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub struct Tally {
    kind: &'static str,
    name: String,
    metrics: Metrics,
    state: watch::Sender<TargetState>,
}

impl Tally {
    pub fn new(
        kind: &'static str,
        name: &str,
        metrics: Metrics,
        state: watch::Sender<TargetState>,
    ) -> Self {
        state.send_modify(|s| {
            s.kind = kind;
            name.clone_into(&mut s.name);
            s.health = Health::Idle;
        });
        metrics.begin(name, kind);
        Self { kind, name: name.to_owned(), metrics, state }
    }

    pub fn health(&self, health: Health) {
        self.state.send_if_modified(|s| {
            let changed = s.health != health;
            s.health = health;
            changed
        });
    }

    pub fn in_flight(&self, records: usize, backlog: u64) {
        let records = records as u64;
        let labels = [self.name.as_str(), self.kind];
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.in_flight.with_label_values(&labels).set(gauge(records));
        self.metrics.backlog.with_label_values(&labels).set(gauge(backlog));
        self.state.send_if_modified(|s| {
            let changed = (s.in_flight, s.backlog) != (records, backlog);
            (s.in_flight, s.backlog) = (records, backlog);
            changed
        });
    }

    fn done(&self, outcome: &str, reason: &str) {
        self.metrics
            .deliveries
            .with_label_values(&[self.name.as_str(), self.kind, outcome, reason])
            .inc();
    }

    pub fn skipped(&self, reason: &str) {
        self.done("skipped", reason);
        self.state.send_modify(|s| s.skipped += 1);
    }

    pub fn delivered(&self, record: &Record, outcome: &str) {
        self.done(outcome, "");
        let age = crate::attempt::age(record).as_secs_f64();
        self.metrics.lag.with_label_values(&[self.name.as_str(), self.kind]).observe(age);
        self.state.send_modify(|s| {
            s.delivered += 1;
            s.last_success = Some(Timestamp::now());
        });
    }

    pub fn dead(&self, class: &'static str, text: String) {
        if class != "partly" {
            self.done("dead", class);
        }
        self.metrics.dead.with_label_values(&[self.name.as_str(), self.kind, class]).inc();
        self.state.send_modify(|s| {
            s.dead_letters += 1;
            s.last_error = Some(Problem { at: Timestamp::now(), class, text });
        });
    }

    /// An attempt waits for its credential's budget.
    pub fn waits_for_budget(&self) {
        self.health(Health::Throttled);
    }

    /// An attempt may be made; `left` is what it leaves of each limit.
    pub fn afforded(&self, waited: Duration, left: &BTreeMap<&'static str, u32>) {
        let labels = [self.name.as_str(), self.kind];
        self.metrics.budget_wait.with_label_values(&labels).observe(waited.as_secs_f64());
        for (limit, left) in left {
            let labels = [self.name.as_str(), self.kind, limit];
            self.metrics.budget_left.with_label_values(&labels).set(i64::from(*left));
        }
    }

    pub fn retry(&self, error: &SendError) {
        self.metrics
            .retries
            .with_label_values(&[self.name.as_str(), self.kind, error.class()])
            .inc();
        self.state.send_modify(|s| s.retried += 1);
    }

    /// Notes how an attempt went.
    pub fn attempt(&self, result: &Result<Sent, SendError>) {
        let word = result.as_ref().err().map_or("ok", SendError::class);
        self.metrics.attempts.with_label_values(&[self.name.as_str(), self.kind, word]).inc();
        self.state.send_modify(|s| {
            let failure = result.as_ref().err().and_then(|error| Some((error.unreached()?, error)));
            let text = failure.map(|(reason, error)| (reason, error.to_string()));
            s.peer.attempted(text.as_ref().map(|(reason, text)| (*reason, text.as_str())));
            let Err(error) = result else {
                s.health = Health::Delivering;
                return;
            };
            s.health = match error {
                SendError::Throttled { .. } => Health::Throttled,
                SendError::Misconfigured(_) => Health::Misconfigured,
                SendError::Transient(_) | SendError::PutOff(_) => Health::Retrying,
                SendError::Permanent(_) => Health::Delivering,
            };
            s.last_error = Some(Problem {
                at: Timestamp::now(),
                class: error.class(),
                text: error.to_string(),
            });
        });
    }
}
