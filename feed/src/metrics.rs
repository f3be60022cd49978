//! Figures of the feed, for Prometheus. All begin with `buildbot_status_feed_`, but for how the
//! master stands, which does not concern the feed alone.

use crate::{Standing, StoreError};
use master::{Figures, StateKind};
use model::{Event, Record, Timestamp};
use prometheus::{
    Error, Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    core::Collector,
};
use std::{sync::Arc, time::Duration};

/// Figures of one feed; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Series>);

#[derive(Debug)]
struct Series {
    events: IntCounterVec,
    commits: IntCounter,
    failures: IntCounterVec,
    commit_seconds: Histogram,
    lag_seconds: Histogram,
    journal_bytes: IntGauge,
    file_bytes: IntGauge,
    journal_records: IntGauge,
    oldest_seconds: Gauge,
    disk_free_bytes: IntGauge,
    lost: IntGauge,
    database: IntGauge,
    backlog: IntGaugeVec,
    backlog_seconds: GaugeVec,
    dead_letters: IntGaugeVec,
    seen: IntGaugeVec,
    expired: IntCounterVec,
    refilled: IntCounterVec,
    forgotten: IntCounter,
    followers: IntGauge,
    requests: IntCounterVec,
    log_cache_bytes: IntGauge,
    standing: Standing,
}

/// Why a transaction could not be written.
const REASONS: [&str; 4] = ["diskFull", "io", "damaged", "other"];

/// One reading of what is not counted as it happens.
pub(crate) struct Reading<'a> {
    pub(crate) journal_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) records: u64,
    /// When the oldest record was journaled (ms); `None` if there is none.
    pub(crate) oldest_ms: Option<i64>,
    /// Bytes that are free where the journal is, if the system tells.
    pub(crate) disk_free_bytes: Option<u64>,
    pub(crate) lost: bool,
    pub(crate) database: u32,
    pub(crate) now_ms: i64,
    pub(crate) followers: usize,
    /// Each with the time (ms) at which the oldest record was journaled that it is not done with.
    pub(crate) consumers: &'a [(crate::ConsumerStatus, Option<i64>)],
}

impl Default for Metrics {
    fn default() -> Self {
        // The names and labels are constants that Prometheus allows, which a test shows; where
        // it did not, the figures would only be missing from the registry.
        Self::build("", |_| Ok(())).unwrap_or_else(|_| unreachable!("constant names are valid"))
    }
}

impl Metrics {
    /// Figures of the feed of `master` (`NAMESPACE/NAME`), registered in `registry` with that as
    /// their label `master`; several feeds can share a registry.
    ///
    /// # Errors
    /// When this master's figures are there already.
    pub fn register(registry: &Registry, master: &str) -> Result<Self, Error> {
        Self::build(master, |collector| registry.register(collector))
    }

    /// Makes the figures of the feed of `master` and hands each to `register`.
    ///
    /// # Errors
    /// Those of `register`.
    pub fn build(
        master: &str,
        mut register: impl FnMut(Box<dyn Collector>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let seconds = |start, count| prometheus::exponential_buckets(start, 2.0, count);
        let by_consumer = ["consumer"];
        let standing = Standing::build(master, &mut register)?;
        let mut make = Figures::new("buildbot_status_feed_", master, &mut register);
        let figures = Series {
            events: make.counters("events_total", "Events journaled, by type", &["type"])?,
            commits: make.counter("commits_total", "Transactions written")?,
            failures: make.counters(
                "commit_failures_total",
                "Transactions that could not be written",
                &["reason"],
            )?,
            commit_seconds: make.histogram(
                "commit_seconds",
                "Time a transaction takes",
                &seconds(0.000_5, 14)?,
            )?,
            lag_seconds: make.histogram(
                "lag_seconds",
                "From the end of a build by the master's clock to its place in the journal",
                &seconds(0.25, 14)?,
            )?,
            journal_bytes: make.gauge("journal_bytes", "Bytes of all events in the journal")?,
            file_bytes: make.gauge("journal_file_bytes", "Bytes of the journal's file")?,
            journal_records: make.gauge("journal_records", "Events in the journal")?,
            oldest_seconds: make.fraction(
                "journal_oldest_age_seconds",
                "Age of the oldest event in the journal; 0 if there is none",
            )?,
            disk_free_bytes: make.gauge("disk_free_bytes", "Bytes free on the journal's disk")?,
            lost: make.gauge(
                "journal_lost",
                "Whether an earlier journal was found lost or damaged when this process began",
            )?,
            database: make
                .gauge("database_epoch", "How often the master was found with another database")?,
            backlog: make.gauges(
                "consumer_backlog",
                "Events that a consumer is not done with",
                &by_consumer,
            )?,
            backlog_seconds: make.fractions(
                "consumer_backlog_age_seconds",
                "Age of the oldest event that a consumer is not done with; 0 if there is none",
                &by_consumer,
            )?,
            dead_letters: make.gauges(
                "consumer_dead_letters",
                "Events that a consumer gave up",
                &by_consumer,
            )?,
            seen: make.gauges(
                "consumer_last_seen_timestamp_seconds",
                "When a consumer was last open",
                &by_consumer,
            )?,
            expired: make.counters(
                "consumer_expired_total",
                "Events dropped before a consumer was done with them",
                &by_consumer,
            )?,
            refilled: make.counters(
                "consumer_refilled_total",
                "Finished builds handed out from the history, most in place of events dropped",
                &by_consumer,
            )?,
            forgotten: make.counter(
                "consumers_forgotten_total",
                "Consumers forgotten because they were away for too long",
            )?,
            followers: make.gauge("followers", "Readers that follow")?,
            requests: make.counters(
                "requests_total",
                "Requests to the feed's API, by route and status",
                &["route", "status"],
            )?,
            log_cache_bytes: make.gauge("log_cache_bytes", "Bytes of logs kept on disk")?,
            standing,
        };
        // There from the start, so that the first failure is seen as a rise.
        for reason in REASONS {
            figures.failures.with_label_values(&[reason]);
        }
        Ok(Self(Arc::new(figures)))
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.0.commits.inc();
        self.0.commit_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn ingested<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        for record in records {
            self.0.events.with_label_values(&[record.event.name()]).inc();
            if let Event::BuildFinished { build } = &record.event
                && let Some(complete_at) = build.complete_at
            {
                let journaled = Timestamp(record.journaled_ms.div_euclid(1000));
                // By whole seconds, as the master's clock has them.
                self.0.lag_seconds.observe(journaled.seconds_since(complete_at) as f64);
            }
        }
    }

    pub(crate) fn failed(&self, error: &StoreError) {
        let reason = match error {
            StoreError::DiskFull(_) => REASONS[0],
            StoreError::Io(_) => REASONS[1],
            StoreError::Corrupted(_) => REASONS[2],
            _ => REASONS[3],
        };
        self.0.failures.with_label_values(&[reason]).inc();
    }

    pub(crate) fn state(&self, state: StateKind) {
        self.0.standing.set(state);
    }

    pub(crate) fn log_cache(&self, bytes: u64) {
        self.0.log_cache_bytes.set(signed(bytes));
    }

    /// Counts a request to a route, such as `get /v1/info`, as it begins to be answered.
    pub(crate) fn answered(&self, route: &str, status: u16) {
        self.0.requests.with_label_values(&[route, &status.to_string()]).inc();
    }

    pub(crate) fn forgotten(&self) {
        self.0.forgotten.inc();
    }

    /// Takes a consumer's figures away.
    pub(crate) fn forget(&self, consumer: &str) {
        let _ = self.0.backlog_seconds.remove_label_values(&[consumer]);
        for figure in [&self.0.backlog, &self.0.dead_letters, &self.0.seen] {
            // It may never have been read.
            let _ = figure.remove_label_values(&[consumer]);
        }
        for figure in [&self.0.expired, &self.0.refilled] {
            // It may never have been read.
            let _ = figure.remove_label_values(&[consumer]);
        }
    }

    pub(crate) fn read(&self, reading: &Reading<'_>) {
        let figures = &*self.0;
        figures.journal_bytes.set(signed(reading.journal_bytes));
        figures.file_bytes.set(signed(reading.file_bytes));
        figures.journal_records.set(signed(reading.records));
        let age = |ms: Option<i64>| ms.map_or(0.0, |ms| (reading.now_ms - ms).max(0) as f64 / 1e3);
        figures.oldest_seconds.set(age(reading.oldest_ms));
        if let Some(free) = reading.disk_free_bytes {
            figures.disk_free_bytes.set(signed(free));
        }
        figures.lost.set(i64::from(reading.lost));
        figures.database.set(i64::from(reading.database));
        figures.followers.set(signed(reading.followers as u64));
        for (consumer, oldest_ms) in reading.consumers {
            let label = &[consumer.name.as_str()];
            figures.backlog_seconds.with_label_values(label).set(age(*oldest_ms));
            figures.backlog.with_label_values(label).set(signed(consumer.backlog));
            figures.dead_letters.with_label_values(label).set(signed(consumer.dead_letters));
            figures.seen.with_label_values(label).set(consumer.last_seen_ms.div_euclid(1000));
            raise(&figures.expired.with_label_values(label), consumer.expired);
            raise(&figures.refilled.with_label_values(label), consumer.refilled);
        }
    }
}

/// Brings a counter up to what the journal counted.
fn raise(counter: &IntCounter, to: u64) {
    if counter.get() > to {
        // A consumer of the same name was made anew.
        counter.reset();
    }
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Metrics;
    use master::StateKind;

    #[test]
    fn all_names_are_valid_and_registered_once() {
        let _ = Metrics::default();
        let registry = prometheus::Registry::new();
        Metrics::register(&registry, "default/main").unwrap();
        assert!(Metrics::register(&registry, "default/main").is_err());
    }

    #[test]
    fn two_masters_of_one_process_have_figures_of_their_own() {
        let registry = prometheus::Registry::new();
        let one = Metrics::register(&registry, "default/one").unwrap();
        let other = Metrics::register(&registry, "default/other").unwrap();
        one.state(StateKind::Live);
        other.state(StateKind::Down);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in ["{master=\"default/one\"} 1\n", "{master=\"default/other\"} 0\n"] {
            let line = format!("buildbot_status_master_connected{line}");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
