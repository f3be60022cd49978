//! Figures of one master, for Prometheus.
//!
//! Several masters share a registry, so every figure has the label `master`. The connection, the
//! journal and the targets each have figures of their own, made with this.

use prometheus::{
    Error, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, core::Collector,
};
use std::fmt;

/// Takes what is made: a registry's `register`, say.
type Register<'a> = &'a mut dyn FnMut(Box<dyn Collector>) -> Result<(), Error>;

/// Makes the figures of one master, and has each registered.
///
/// ```
/// let registry = prometheus::Registry::new();
/// let mut register = |figure| registry.register(figure);
/// let mut figures = master::Figures::new("ci_", "default/main", &mut register);
/// figures.counter("cuts_total", "Connections that were cut.").unwrap().inc();
/// let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
/// assert!(text.ends_with("ci_cuts_total{master=\"default/main\"} 1\n"));
/// ```
pub struct Figures<'a> {
    prefix: &'static str,
    master: &'a str,
    register: Register<'a>,
}

impl fmt::Debug for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures")
            .field("prefix", &self.prefix)
            .field("master", &self.master)
            .finish_non_exhaustive()
    }
}

impl<'a> Figures<'a> {
    /// Figures of `master` (`NAMESPACE/NAME`) whose names begin with `prefix`; each is handed to
    /// `register`.
    pub fn new(prefix: &'static str, master: &'a str, register: Register<'a>) -> Self {
        Self { prefix, master, register }
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{}{name}", self.prefix), help).const_label("master", self.master)
    }

    fn buckets(&self, name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec())
    }

    fn add<C: Collector + Clone + 'static>(&mut self, figure: C) -> Result<C, Error> {
        (self.register)(Box::new(figure.clone()))?;
        Ok(figure)
    }

    /// A count.
    ///
    /// # Errors
    /// A name that Prometheus refuses, or those of `register`; so with all of these.
    pub fn counter(&mut self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.add(IntCounter::with_opts(self.opts(name, help))?)
    }

    /// A count by labels.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.add(IntCounterVec::new(self.opts(name, help), labels)?)
    }

    /// A whole number that rises and falls.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn gauge(&mut self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.add(IntGauge::with_opts(self.opts(name, help))?)
    }

    /// Whole numbers by labels.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, Error> {
        self.add(IntGaugeVec::new(self.opts(name, help), labels)?)
    }

    /// A number with a fraction: seconds.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn fraction(&mut self, name: &str, help: &str) -> Result<Gauge, Error> {
        self.add(Gauge::with_opts(self.opts(name, help))?)
    }

    /// Numbers with a fraction, by labels.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn fractions(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, Error> {
        self.add(GaugeVec::new(self.opts(name, help), labels)?)
    }

    /// How often a value was within each of these bounds.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, Error> {
        self.add(Histogram::with_opts(self.buckets(name, help, buckets))?)
    }

    /// The same by labels.
    ///
    /// # Errors
    /// See [`Self::counter`].
    pub fn histograms(
        &mut self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, Error> {
        self.add(HistogramVec::new(self.buckets(name, help, buckets), labels)?)
    }
}
