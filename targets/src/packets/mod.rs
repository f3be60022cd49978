//! The packets of Buildbot 0.8's `StatusPush` and `HttpStatusPush`: which events become packets, and
//! what is in them (row G07). Shared by the targets that push them.

mod as_dict;
mod compose;
mod decide;

pub(crate) use compose::Composer;
pub use compose::{Packets, State};
pub(crate) use decide::Choice;

use model::Selection;
use std::collections::BTreeSet;

/// The settings of packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The builders whose events are pushed.
    pub selection: Selection,
    /// Names of events that are not.
    pub black_list: BTreeSet<String>,
    /// Whether empty values are left out.
    pub filter: bool,
    /// Whether the JSON is indented.
    pub debug: bool,
}
