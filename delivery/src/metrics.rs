//! Prometheus figures that every target has.

use feed::Figures;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry, core::Collector};

/// The figures of all targets of one master, told apart by their labels. All have also the label
/// `master` (`NAMESPACE/NAME`).
///
/// | name | labels | what |
/// |---|---|---|
/// | `buildbot_status_deliveries_total` | target, kind, outcome, reason | records done with: outcome `delivered`, `partly`, `skipped`, `dead` |
/// | `buildbot_status_delivery_lag_seconds` | target, kind | from the event on the master to the peer's taking it |
/// | `buildbot_status_delivery_attempts_total` | target, kind, result | attempts: `ok` or a class of failure |
/// | `buildbot_status_delivery_retries_total` | target, kind, reason | attempts that failed and are repeated |
/// | `buildbot_status_delivery_dead_letters_total` | target, kind, reason | records given up |
/// | `buildbot_status_deliveries_in_flight` | target, kind | records at work |
/// | `buildbot_status_delivery_backlog` | target, kind | records in the journal that are not done |
/// | `buildbot_status_delivery_invalid_addresses_total` | target, kind | users left out because what should be their address is none |
/// | `buildbot_status_delivery_budget_wait_seconds` | target, kind | how long an attempt waited for its credential's budget |
/// | `buildbot_status_delivery_budget_remaining` | target, kind, limit | what the last attempt left of a limit |
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) deliveries: IntCounterVec,
    pub(crate) lag: HistogramVec,
    pub(crate) attempts: IntCounterVec,
    pub(crate) retries: IntCounterVec,
    pub(crate) dead: IntCounterVec,
    pub(crate) invalid_addresses: IntCounterVec,
    pub(crate) in_flight: IntGaugeVec,
    pub(crate) backlog: IntGaugeVec,
    pub(crate) budget_wait: HistogramVec,
    pub(crate) budget_left: IntGaugeVec,
}

/// From half a second (the master's clock has whole seconds) to a day.
const LAG_BUCKETS: [f64; 12] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 86_400.0];

/// From no wait worth speaking of to the longest period of a limit.
const WAIT_BUCKETS: [f64; 8] = [0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0];

impl Default for Metrics {
    /// Figures that nobody sees, for tests.
    fn default() -> Self {
        // The names and labels are constants that Prometheus allows.
        Self::build("", |_| Ok(())).unwrap_or_else(|_| unreachable!("constant names are valid"))
    }
}

impl Metrics {
    /// Makes the figures of the targets of `master` (`NAMESPACE/NAME`) and registers them; several
    /// masters can share a registry.
    ///
    /// # Errors
    /// If the registry has this master's figures already.
    pub fn register(registry: &Registry, master: &str) -> Result<Self, prometheus::Error> {
        Self::build(master, |collector| registry.register(collector))
    }

    /// Makes the figures of the targets of `master` and hands each to `register`.
    ///
    /// # Errors
    /// Those of `register`.
    pub fn build(
        master: &str,
        mut register: impl FnMut(Box<dyn Collector>) -> Result<(), prometheus::Error>,
    ) -> Result<Self, prometheus::Error> {
        let of_target = ["target", "kind"];
        let mut make = Figures::new("buildbot_status_", master, &mut register);
        Ok(Self {
            deliveries: make.counters(
                "deliveries_total",
                "Records done with.",
                &["target", "kind", "outcome", "reason"],
            )?,
            attempts: make.counters(
                "delivery_attempts_total",
                "Attempts to hand something over.",
                &["target", "kind", "result"],
            )?,
            retries: make.counters(
                "delivery_retries_total",
                "Attempts that failed and are repeated.",
                &["target", "kind", "reason"],
            )?,
            dead: make.counters(
                "delivery_dead_letters_total",
                "Records given up.",
                &["target", "kind", "reason"],
            )?,
            invalid_addresses: make.counters(
                "delivery_invalid_addresses_total",
                "Users left out because what should be their address is none.",
                &of_target,
            )?,
            lag: make.histograms(
                "delivery_lag_seconds",
                "From the event on the master to the peer's taking it.",
                &LAG_BUCKETS,
                &of_target,
            )?,
            in_flight: make.gauges("deliveries_in_flight", "Records at work.", &of_target)?,
            backlog: make.gauges(
                "delivery_backlog",
                "Records in the journal that are not done.",
                &of_target,
            )?,
            budget_wait: make.histograms(
                "delivery_budget_wait_seconds",
                "How long an attempt waited for the budget of its credential.",
                &WAIT_BUCKETS,
                &of_target,
            )?,
            budget_left: make.gauges(
                "delivery_budget_remaining",
                "What the last attempt left of a limit.",
                &["target", "kind", "limit"],
            )?,
        })
    }

    /// Counts a user who is told nothing, because what should be an address is none.
    pub fn invalid_address(&self, target: &str, kind: &str) {
        self.invalid_addresses.with_label_values(&[target, kind]).inc();
    }

    /// Begins a target's counters at 0, so that its first failure is seen as a rise.
    pub(crate) fn begin(&self, target: &str, kind: &str) {
        for class in ["transient", "put-off", "throttled", "misconfigured"] {
            self.retries.with_label_values(&[target, kind, class]);
            self.attempts.with_label_values(&[target, kind, class]);
        }
        for result in ["ok", "permanent"] {
            self.attempts.with_label_values(&[target, kind, result]);
        }
        self.dead.with_label_values(&[target, kind, "permanent"]);
        self.deliveries.with_label_values(&[target, kind, "delivered", ""]);
        self.invalid_addresses.with_label_values(&[target, kind]);
    }
}
