//! The operator: turns the resources of a cluster into running pods, and says how they fare.
//!
//! A resource is reconciled in five steps, each a module of [`reconcile`]: *dereference* reads what
//! the resource names, *validate* says what is wrong with it, *build* makes the objects that it
//! needs ([`children`]), *apply* brings the cluster to them, *status* says how it went. Only the
//! first and the last two know a cluster; the middle is pure.
//!
//! Nothing here branches on why a resource is reconciled: what is wanted is computed from what is
//! so now. What is so comes from watches ([`watch`]), kept as the few words that matter
//! ([`known`]), and from the feeds, which are asked in turn ([`figures`]). A kind of target is one
//! file in [`kinds`] and one line in its registry.
//!
//! Several operators may run; the one that holds the Lease ([`leader`]) writes, and stops before
//! the Lease could be another's.

mod backlog;
pub mod children;
mod context;
mod discovery;
mod error;
mod events;
mod failures;
mod fields;
mod figures;
mod keys;
mod kinds;
pub mod known;
mod leader;
mod metrics;
mod names;
mod reconcile;
mod run;
mod settings;
mod waiting;
mod watch;

pub use error::{KeyError, RunError};
pub use keys::Seeds;
pub use metrics::Metrics;
pub use names::MANAGER;
pub use run::run;
pub use settings::{LeaseSettings, Settings};
