//! Measurements: `benches/` of single parts, `src/bin/` of whole processes.
//!
//! This library holds what they share: events as a real master makes them, figures of this
//! process, and quantiles.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "programs of measurements: what fails ends them"
)]

pub mod figures;
pub mod receiver;
pub mod recorded;
pub mod served;
