//! The fault campaign: a master, the program and its receivers, while faults happen that are drawn
//! from a seed; then everything that was due is looked for.

mod broken;
pub mod campaign;
mod judge;
mod machine;
mod manifests;
mod plan;
pub mod real;
mod receivers;
mod run;
mod system;

pub use broken::{Broken, run as run_broken};
pub use judge::{Evidence, Verdict};
pub use plan::{Fault, Plan, Topology};
pub use run::{Outcome, run};
