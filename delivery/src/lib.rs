//! What every sink shares: *next record → decide → compose → send → acknowledge*.
//!
//! A target says which events matter ([`Target::decide`]), what to say of them
//! ([`Target::compose`]) and how to hand it over ([`Target::send`]). Everything else is here:
//! order, retries, deadlines, dead letters, state and metrics. [`run`] drives a target that
//! sends one message a record, [`run_batch`] one that sends many records in one request.
//!
//! The promise: no record is lost, and a kill between send and acknowledgement repeats a message
//! with the same identity, because `decide` and `compose` are pure functions of the record.
//! `README.md` lists the rules; the module `compliance` proves them for each target.

mod attempt;
mod batch;
pub mod budget;
#[cfg(feature = "compliance")]
pub mod compliance;
mod error;
mod gate;
mod metrics;
mod once;
mod options;
mod put_off;
mod redact;
mod run;
mod source;
mod state;
mod tally;
mod target;

pub use batch::run_batch;
pub use error::{ComposeError, RunError, SendError};
pub use metrics::Metrics;
pub use once::{OnceError, once, once_batch};
pub use options::{BatchOptions, Options};
pub use redact::redact;
pub use run::run;
pub use source::{Acks, Source};
pub use state::{Health, Problem, TargetState};
pub use target::{BatchTarget, MESSAGES, Sent, Taken, Target};
