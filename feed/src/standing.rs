//! Figures of how a master stands: for the feed that reads it, and for whoever reads that feed from
//! elsewhere, who may find the feed away.

use master::{Figures, StateKind};
use prometheus::{Error, IntGauge, IntGaugeVec, Registry, core::Collector};

/// How a master stands, for Prometheus; clones share the figures.
#[derive(Clone, Debug)]
pub struct Standing {
    connected: IntGauge,
    state: IntGaugeVec,
}

impl Standing {
    /// Figures of `master` (`NAMESPACE/NAME`), registered in `registry` with that as their label
    /// `master`.
    ///
    /// # Errors
    /// When this master's figures are there already.
    pub fn register(registry: &Registry, master: &str) -> Result<Self, Error> {
        Self::build(master, &mut |collector| registry.register(collector))
    }

    pub(crate) fn build(
        master: &str,
        register: &mut dyn FnMut(Box<dyn Collector>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut make = Figures::new("buildbot_status_master_", master, register);
        Ok(Self {
            connected: make.gauge("connected", "Whether the master is read at present")?,
            state: make.gauges(
                "state",
                "How the connection to the master stands: 1 for the state it is in",
                &["state"],
            )?,
        })
    }

    /// The master stands like this now.
    pub fn set(&self, state: StateKind) {
        self.connected.set(i64::from(state.is_connected()));
        for kind in StateKind::ALL {
            self.state.with_label_values(&[kind.name()]).set(i64::from(kind == state));
        }
    }
}
