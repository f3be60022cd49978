//! Measurements: `benches/` of single parts, `src/bin/` of whole processes.
//!
//! This library holds what they share: events as a real master makes them, figures of this
//! process, and quantiles.

pub mod figures;
pub mod receiver;
pub mod recorded;
pub mod served;

/// What comes of a measurement: whatever goes wrong ends it, and is said.
pub type Measured<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
