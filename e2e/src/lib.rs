//! The whole system against real peers: a Buildbot master with workers, an SMTP server, an HTTP receiver, a
//! browser. This library starts and ends them; the tests are in `tests/`.
//!
//! Everything listens on free loopback ports and lives in a temporary folder. Each process leads a group of
//! its own, so that one can be killed alone, and none outlives the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a broken set-up is a failed test"
)]

mod buildmaster;
pub mod cluster;
mod collector;
pub mod faults;
mod gerrit;
pub mod github;
mod lab;
mod link;
mod mailbox;
pub mod manifests;
mod panels;
mod process;
mod prometheus;
mod proxy;
mod receiver;
pub mod recorded_master;
mod standalone;

pub use buildmaster::Buildmaster;
pub use collector::{Collector, Exported, Place};
pub use gerrit::{Change, Gerrit, Robot};
pub use lab::{FinishedBuild, Lab};
pub use link::Link;
pub use mailbox::{Mail, Mailbox};
pub use manifests::{manifests, master};
pub use panels::{Asked, panels};
pub use process::{Process, free_port, python, wait_until};
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use receiver::Receiver;
pub use standalone::{Standalone, binary, figure};
