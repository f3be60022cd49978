//! Live updates: what a page that shows the present needs to stay so.
//!
//! Only the first body of the waterfall changes. A page knows its lower edge, and says it when
//! it asks for updates (`since`); the browser repeats the newest one (`Last-Event-ID`) when it
//! connects again. So the server keeps nothing about its readers but their last edge.

use super::{Picked, layout::Rows, pick, write::Writer};
use crate::{Ask, PageError};
use model::Timestamp;

/// One message to a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The row of headings.
    pub head: String,
    /// Rows that are final from now on.
    pub closed: String,
    /// All rows of the live body.
    pub body: String,
    /// The lower edge of the live body.
    pub edge: Timestamp,
    /// The page can't be brought up to date by parts: what it holds as final was changed, for
    /// older builds came to light. It has to be loaded again.
    pub stale: bool,
}

/// The lower edge of what may still change.
pub(super) fn edge(rows: &Rows) -> Timestamp {
    rows.bodies.first().map_or(rows.bottom, |body| body.bottom)
}

/// What a page with the lower edge `since` lacks; builds begun after `seen` are marked as new.
///
/// # Errors
/// As [`super::page`].
pub fn update(ask: &Ask<'_>, since: Timestamp, seen: Timestamp) -> Result<Update, PageError> {
    let Picked { args, rows, columns, head } = pick(ask, None)?;
    let writer =
        Writer { root: "", now: ask.now, compact: args.compact, columns, new_since: Some(seen) };
    let edge = edge(&rows).max(since);
    let mut update = Update { head, edge, ..Update::default() };
    for (i, body) in rows.bodies.iter().enumerate().filter(|(_, body)| body.top > since) {
        update.stale |= body.bottom < since;
        writer.rows(body, if i == 0 { &mut update.body } else { &mut update.closed });
    }
    Ok(update)
}
