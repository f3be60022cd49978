//! `/about`: versions and the meaning of the marks (P20).

use crate::{Ask, Html, PageError};
use minijinja::context;

/// The marks and what they mean, in the order in which they are explained.
const MARKS: [(&str, &str, &str); 13] = [
    ("s", "success", "every step passed"),
    ("w", "warnings", "passed, with warnings"),
    ("f", "failed", "a step failed"),
    ("g", "failed again", "failed, as the build before it did"),
    ("e", "exception", "the build itself broke"),
    ("r", "retry", "broke, and is tried again"),
    ("k", "skipped", "not run"),
    ("c", "cancelled", "stopped by somebody"),
    ("y", "running", "in progress"),
    ("q", "pending", "waiting for a worker"),
    ("o", "offline", "no worker is connected"),
    ("p", "paused", "a worker takes no new builds"),
    ("i", "idle", "nothing to do"),
];

/// The page.
///
/// # Errors
/// 500 when the template fails.
pub fn page(ask: &Ask<'_>) -> Result<Html, PageError> {
    let shown = ask.view.builders().filter(|b| ask.site.shows(&b.builder));
    let workers = ask.view.workers();
    let oldest = ask.view.builds().map(|b| b.started_at.0).next_back();
    ask.render(
        "about.html",
        context! {
            own_version => env!("CARGO_PKG_VERSION"),
            builders => shown.count(),
            workers => workers.count(),
            connected => ask.view.workers().filter(|w| w.connected).count(),
            builds => ask.view.builds().count(),
            oldest,
            buildbot_url => crate::text::safe_url(&ask.view.meta().buildbot_url),
            marks => MARKS.map(|(class, word, text)| context! { class, word, text }).to_vec(),
        },
    )
}
