//! Prometheus figures that every target has.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};

/// The figures of all targets of a process, told apart by their labels.
///
/// | name | labels | what |
/// |---|---|---|
/// | `statustargets_deliveries_total` | target, kind, outcome, reason | records done with: outcome `delivered`, `partly`, `skipped`, `dead` |
/// | `statustargets_delivery_lag_seconds` | target, kind | from the event on the master to the peer's taking it |
/// | `statustargets_delivery_attempts_total` | target, kind, result | attempts: `ok` or a class of failure |
/// | `statustargets_delivery_retries_total` | target, kind, reason | attempts that failed and are repeated |
/// | `statustargets_dead_letters_total` | target, kind, reason | records given up |
/// | `statustargets_deliveries_in_flight` | target, kind | records at work |
/// | `statustargets_delivery_backlog` | target, kind | records in the journal that are not done |
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) deliveries: IntCounterVec,
    pub(crate) lag: HistogramVec,
    pub(crate) attempts: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) dead: IntCounterVec,
    pub(crate) in_flight: IntGaugeVec,
    pub(crate) backlog: IntGaugeVec,
}

/// From half a second (the master's clock has whole seconds) to a day.
const LAG_BUCKETS: [f64; 12] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 86_400.0];

impl Metrics {
    /// Makes the figures and registers them.
    ///
    /// # Errors
    /// If the registry has figures of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Self::build(|collector| registry.register(collector))
    }

    /// Makes the figures and hands each to `register`.
    ///
    /// # Errors
    /// Those of `register`.
    pub fn build(
        mut register: impl FnMut(Box<dyn Collector>) -> Result<(), prometheus::Error>,
    ) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| Opts::new(format!("statustargets_{name}"), help);
        let counter = |name, help, labels: &[&str]| IntCounterVec::new(opts(name, help), labels);
        let gauge = |name, help| IntGaugeVec::new(opts(name, help), &["target", "kind"]);
        let metrics = Self {
            deliveries: counter(
                "deliveries_total",
                "Records done with.",
                &["target", "kind", "outcome", "reason"],
            )?,
            attempts: counter(
                "delivery_attempts_total",
                "Attempts to hand something over.",
                &["target", "kind", "result"],
            )?,
            retries: counter(
                "delivery_retries_total",
                "Attempts that failed and are repeated.",
                &["target", "kind", "reason"],
            )?,
            dead: counter(
                "dead_letters_total",
                "Records given up.",
                &["target", "kind", "reason"],
            )?,
            lag: HistogramVec::new(
                HistogramOpts::new(
                    "statustargets_delivery_lag_seconds",
                    "From the event on the master to the peer's taking it.",
                )
                .buckets(LAG_BUCKETS.into()),
                &["target", "kind"],
            )?,
            in_flight: gauge("deliveries_in_flight", "Records at work.")?,
            backlog: gauge("delivery_backlog", "Records in the journal that are not done.")?,
        };
        register(Box::new(metrics.deliveries.clone()))?;
        register(Box::new(metrics.attempts.clone()))?;
        register(Box::new(metrics.retries.clone()))?;
        register(Box::new(metrics.dead.clone()))?;
        register(Box::new(metrics.lag.clone()))?;
        register(Box::new(metrics.in_flight.clone()))?;
        register(Box::new(metrics.backlog.clone()))?;
        Ok(metrics)
    }
}
