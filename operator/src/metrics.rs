//! Figures about the operator, for Prometheus.

use crate::children::ChildKind;
use prometheus::{
    Error, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};
use std::time::Duration;

/// Upper bounds of seconds: most reconciles are of microseconds, some wait for an API server.
const SECONDS: &[f64] = &[0.000_1, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Figures about the operator; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: IntCounterVec,
    seconds: HistogramVec,
    queue: IntGaugeVec,
    applies: IntCounterVec,
    deletes: IntCounterVec,
    leader: IntGauge,
    resources: IntGaugeVec,
    polls: IntCounterVec,
    writes: IntCounterVec,
    watch_errors: IntCounterVec,
}

impl Metrics {
    /// Registers the figures.
    ///
    /// # Errors
    /// Two figures of one name: a fault of this program.
    pub fn register(registry: &Registry) -> Result<Self, Error> {
        Self::build(|collector| registry.register(collector))
    }

    /// Makes the figures and hands each to `register`.
    ///
    /// # Errors
    /// Those of `register`.
    pub fn build(
        mut register: impl FnMut(Box<dyn Collector>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let name = |name: &str| format!("buildbot_status_operator_{name}");
        let options = HistogramOpts::new(name("reconcile_seconds"), "How long reconciles took.")
            .buckets(SECONDS.to_vec());
        let seconds = HistogramVec::new(options, &["kind"])?;
        register(Box::new(seconds.clone()))?;
        let leader = IntGauge::with_opts(Opts::new(
            name("leader"),
            "Whether this operator holds the Lease, and so writes.",
        ))?;
        register(Box::new(leader.clone()))?;
        let mut gauge = |short: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name(short), help), labels)?;
            register(Box::new(gauge.clone()))?;
            Ok::<_, Error>(gauge)
        };
        let queue = gauge(
            "queue_depth",
            "Resources that a reconcile was asked for and not begun yet.",
            &["kind"],
        )?;
        let resources =
            gauge("resources", "Resources by whether they are ready.", &["kind", "ready"])?;
        let mut counter = |short: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name(short), help), labels)?;
            register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        Ok(Self {
            reconciles: counter(
                "reconciles_total",
                "Reconciles by how they ended.",
                &["kind", "outcome"],
            )?,
            seconds,
            queue,
            applies: counter(
                "applies_total",
                "Objects that were to be applied, by what came of it.",
                &["kind", "result"],
            )?,
            deletes: counter("deletes_total", "Objects deleted.", &["kind"])?,
            leader,
            resources,
            polls: counter(
                "feed_polls_total",
                "Feeds asked for their figures, by what came of it.",
                &["result"],
            )?,
            writes: counter("status_writes_total", "Statuses written.", &["kind"])?,
            watch_errors: counter(
                "watch_errors_total",
                "Watches that broke off and were begun anew.",
                &["kind"],
            )?,
        })
    }

    pub(crate) fn reconciled(&self, kind: &str, took: Duration, outcome: &str) {
        self.reconciles.with_label_values(&[kind, outcome]).inc();
        self.seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// How many resources of a kind wait.
    pub(crate) fn queue(&self, kind: &str) -> IntGauge {
        self.queue.with_label_values(&[kind])
    }

    pub(crate) fn applied(&self, kind: ChildKind, result: &str) {
        self.applies.with_label_values(&[kind.name(), result]).inc();
    }

    pub(crate) fn deleted(&self, kind: ChildKind) {
        self.deletes.with_label_values(&[kind.name()]).inc();
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    pub(crate) fn counted(&self, kind: &str, all: usize, ready: usize) {
        let set = |label: &str, n: usize| {
            let gauge = self.resources.with_label_values(&[kind, label]);
            gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        set("true", ready);
        set("false", all.saturating_sub(ready));
    }

    pub(crate) fn feed_asked(&self, result: &str) {
        self.polls.with_label_values(&[result]).inc();
    }

    pub(crate) fn status_written(&self, kind: &str) {
        self.writes.with_label_values(&[kind]).inc();
    }

    pub(crate) fn watch_failed(&self, kind: &str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }
}
