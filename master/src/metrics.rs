//! Figures of the connection to a master, for Prometheus. All begin with
//! `buildbot_status_master_`.

use crate::{Figures, StateKind, frames::Message};
use model::{Event, Timestamp};
use prometheus::{
    Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, core::Collector,
};
use std::{sync::Arc, time::Duration};

/// Figures of the connection to one master; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Series>);

#[derive(Debug)]
struct Series {
    frames: IntCounterVec,
    last_frame: IntGauge,
    logs_watched: IntGauge,
    overflows: IntCounter,
    reconnects: IntCounterVec,
    catch_up_seconds: Histogram,
    found: IntCounterVec,
    request_seconds: HistogramVec,
}

/// REST answers: a page of builds takes the master some 60 ms, and ours give up after 30 s.
const REQUEST_BUCKETS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Catching up: from a few requests to a large gap.
const CATCH_UP_BUCKETS: [f64; 11] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

impl Default for Metrics {
    /// Figures that nobody sees.
    fn default() -> Self {
        // The names and labels are constants that Prometheus allows, which a test shows.
        Self::build("", |_| Ok(())).unwrap_or_else(|_| unreachable!("constant names are valid"))
    }
}

impl Metrics {
    /// Figures of `master` (`NAMESPACE/NAME`), registered in `registry` with that as their label
    /// `master`; several masters can share a registry.
    ///
    /// # Errors
    /// When this master's figures are there already.
    pub fn register(registry: &Registry, master: &str) -> Result<Self, Error> {
        Self::build(master, |collector| registry.register(collector))
    }

    /// Makes the figures of `master` and hands each to `register`.
    ///
    /// # Errors
    /// Those of `register`.
    pub fn build(
        master: &str,
        mut register: impl FnMut(Box<dyn Collector>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut make = Figures::new("buildbot_status_master_", master, &mut register);
        let figures = Series {
            frames: make.counters(
                "frames_total",
                "Messages of the master's websocket, by kind.",
                &["kind"],
            )?,
            last_frame: make.gauge(
                "last_frame_timestamp_seconds",
                "When the master's websocket last said anything, answers to pings included.",
            )?,
            logs_watched: make.gauge(
                "logs_watched",
                "Logs whose new lines the master is asked to tell of, since somebody follows them.",
            )?,
            overflows: make.counter(
                "queue_overflows_total",
                "Connections given up because too many frames waited to be journaled.",
            )?,
            reconnects: make.counters(
                "reconnects_total",
                "Connections that ended or failed, by reason.",
                &["reason"],
            )?,
            catch_up_seconds: make.histogram(
                "catch_up_seconds",
                "Time from a connection to its being up to date.",
                &CATCH_UP_BUCKETS,
            )?,
            found: make.counters(
                "catch_up_found_total",
                "What catching up found that no frame had told.",
                &["kind"],
            )?,
            request_seconds: make.histograms(
                "request_seconds",
                "Time of the master's REST answers, by what was asked and how it ended.",
                &REQUEST_BUCKETS,
                &["endpoint", "status"],
            )?,
        };
        // There from the start, so that the first one is seen as a rise.
        for kind in Message::KINDS {
            figures.frames.with_label_values(&[kind]);
        }
        for kind in ["builds", "changes"] {
            figures.found.with_label_values(&[kind]);
        }
        for state in StateKind::ALL.iter().filter(|state| !state.is_connected()) {
            figures.reconnects.with_label_values(&[state.name()]);
        }
        Ok(Self(Arc::new(figures)))
    }

    /// A message came.
    pub(crate) fn frame(&self, kind: &str) {
        self.0.frames.with_label_values(&[kind]).inc();
        self.0.last_frame.set(Timestamp::now().0);
    }

    /// The master tells of the growth of so many logs.
    pub(crate) fn logs_watched(&self, logs: usize) {
        self.0.logs_watched.set(i64::try_from(logs).unwrap_or(i64::MAX));
    }

    pub(crate) fn overflowed(&self) {
        self.0.overflows.inc();
    }

    /// A connection ended or failed.
    pub(crate) fn reconnects(&self, reason: StateKind) {
        self.0.reconnects.with_label_values(&[reason.name()]).inc();
    }

    pub(crate) fn caught_up(&self, took: Duration) {
        self.0.catch_up_seconds.observe(took.as_secs_f64());
    }

    /// Events that catching up brought.
    pub(crate) fn found(&self, events: &[Event]) {
        for event in events {
            let kind = match event {
                Event::BuildFinished { .. } => "builds",
                Event::ChangeAdded { .. } => "changes",
                _ => continue,
            };
            self.0.found.with_label_values(&[kind]).inc();
        }
    }

    /// A REST answer, or that there was none.
    pub(crate) fn request(&self, path: &str, status: &str, took: Duration) {
        let endpoint = endpoint(path);
        self.0.request_seconds.with_label_values(&[&endpoint, status]).observe(took.as_secs_f64());
    }
}

/// What a path asks for, without keys: `builds/7/steps?limit=1` is `builds/steps`.
fn endpoint(path: &str) -> String {
    let path = path.split('?').next().unwrap_or(path);
    let words = path.strip_prefix("api/v2").unwrap_or(path).split('/');
    let words: Vec<&str> =
        words.filter(|word| !word.is_empty() && word.parse::<u64>().is_err()).collect();
    if words.is_empty() { "root".to_owned() } else { words.join("/") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{Metrics, endpoint};

    #[test]
    fn all_names_are_valid_and_each_master_has_its_own() {
        let _ = Metrics::default();
        let registry = prometheus::Registry::new();
        Metrics::register(&registry, "default/one").unwrap();
        Metrics::register(&registry, "default/other").unwrap();
        assert!(Metrics::register(&registry, "default/one").is_err());
    }

    #[test]
    fn an_endpoint_is_a_path_without_keys() {
        for (path, class) in [
            ("api/v2/builds?buildid__gt=7&limit=200", "builds"),
            ("api/v2/builds/7/steps", "builds/steps"),
            ("api/v2/logs/12/contents?offset=0&limit=10", "logs/contents"),
            ("api/v2", "root"),
            ("auth/login", "auth/login"),
        ] {
            assert_eq!(endpoint(path), class);
        }
    }
}
