//! Figures of the feed, for Prometheus.

/// Figures of one feed.
#[derive(Clone, Debug, Default)]
pub struct Metrics {}

impl Metrics {
    /// Figures that are registered in `registry`.
    ///
    /// # Errors
    /// When figures of these names are there already.
    pub fn register(_registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {})
    }
}
