//! Live updates: what a page that shows the present needs to stay so.
//!
//! Only the first body of the waterfall changes. A page knows its lower edge, and says it when
//! it asks for updates (`since`); the browser repeats the newest one (`Last-Event-ID`) when it
//! connects again. So the server keeps nothing about its readers but their last edge.

use super::{Picked, pick, write::Writer};
use crate::{Ask, PageError};
use model::{BuilderId, Timestamp};
use sha2::{Digest, Sha256};

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
    /// Which columns there are: they are told apart by this alone.
    pub columns: String,
    /// The page can't be brought up to date by parts: what it holds as final was changed, for
    /// older builds came to light. It has to be loaded again, as one with other columns has.
    pub stale: bool,
}

/// Names builders as columns in their order. Rows fit only a page that has the same ones.
pub(super) fn columns(builders: impl IntoIterator<Item = BuilderId>) -> String {
    let mut digest = Sha256::new();
    for id in builders {
        digest.update(id.0.to_be_bytes());
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What a page with the lower edge `since` lacks; builds begun after `seen` are marked as new.
///
/// # Errors
/// As [`super::page`].
pub fn update(ask: &Ask<'_>, since: Timestamp, seen: Timestamp) -> Result<Update, PageError> {
    let Picked { args, rows, columns, head, ids } = pick(ask, None)?;
    let writer =
        Writer { root: "", now: ask.now, compact: args.compact, columns, new_since: Some(seen) };
    let edge = rows.edge.max(since);
    let ids = self::columns(ids);
    let mut update = Update { head, edge, columns: ids, ..Update::default() };
    for (i, body) in rows.bodies.iter().enumerate().filter(|(_, body)| body.top > since) {
        update.stale |= body.bottom < since;
        writer.rows(body, if i == 0 { &mut update.body } else { &mut update.closed });
    }
    Ok(update)
}
