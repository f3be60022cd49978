//! The operator against a real API server without a node: what it makes, repairs, says and leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod figures;
mod kills;
mod life;
mod optional;
mod process;
mod queue;
mod rights;
mod rollout;
mod rules;
mod says;
mod silence;
mod traces;
mod volume;
mod world;
