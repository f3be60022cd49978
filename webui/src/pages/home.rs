//! `/`: who must act, what runs, and the way to all other pages (P01). Template `root.html`.

use super::parts::{build_line, builder_line, change_line, culprit};
use crate::{
    Ask, Html, PageError,
    view::{BuildRow, BuilderView},
};
use minijinja::{Value, context};

/// Changes that the page shows.
const CHANGES: usize = 7;

/// The page.
///
/// # Errors
/// 500 when the template fails.
pub fn page(ask: &Ask<'_>) -> Result<Html, PageError> {
    let shown: Vec<&BuilderView> =
        ask.view.builders().filter(|b| ask.site.shows(&b.builder)).collect();
    let failing: Vec<Value> =
        shown.iter().filter(|b| b.is_failing()).filter_map(|b| failing(ask, b)).collect();
    let running: Vec<Value> =
        shown.iter().flat_map(|b| b.running().map(|x| build_line(ask, b, x))).collect();
    let builders: Vec<Value> =
        shown.iter().map(|b| builder_line(ask, b, b.last().map(|x| &**x))).collect();
    let pending: usize = shown.iter().map(|b| ask.view.pending(b.builder.id).count()).sum();
    let built = shown.iter().filter(|b| b.last().is_some()).count();
    let changes: Vec<Value> = ask.view.changes().take(CHANGES).map(|c| change_line(c)).collect();
    ask.render("root.html", context! { failing, running, builders, pending, built, changes })
}

fn failing(ask: &Ask<'_>, builder: &BuilderView) -> Option<Value> {
    let last: &BuildRow = builder.last()?;
    let streak = builder.streak();
    let first: &BuildRow = streak.last().map_or(last, |b| b);
    Some(context! {
        since => build_line(ask, builder, first),
        streak => streak.len(),
        culprit => culprit(builder, last),
        ..builder_line(ask, builder, Some(last))
    })
}
