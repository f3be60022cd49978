//! `/changes` and `/changes/NN` (P15).

use super::{build::change, builders::selection, parts::build_line, parts::change_line};
use crate::{Ask, Html, PageError};
use minijinja::{Value, context};
use model::{Change, ChangeId};

/// Changes on the list unless the address says otherwise, and at most.
const USUAL: i64 = 50;
const MOST: i64 = 500;
/// Builds of one change.
const BUILDS: usize = 100;

/// The list, newest first. `branch` may repeat; `numchanges` says how many.
///
/// # Errors
/// 400 for a bad argument, 500 when the template fails.
pub fn list(ask: &Ask<'_>) -> Result<Html, PageError> {
    let count = ask.query.number("numchanges", 1..=MOST)?.unwrap_or(USUAL);
    let selection = selection(ask);
    let mut all = ask.view.changes().filter(|c| selection.branch(c.branch.as_deref()));
    let changes: Vec<Value> = all
        .by_ref()
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .map(|c| change_line(c))
        .collect();
    let more = (count < MOST && all.next().is_some())
        .then(|| ask.query.with("numchanges", &(count * 2).min(MOST).to_string()));
    ask.render("changes.html", context! { changes, more, branches => selection.branches })
}

/// The key in an address.
///
/// # Errors
/// 404 when it is no number.
pub fn number(text: &str) -> Result<ChangeId, PageError> {
    text.parse().map(ChangeId).map_err(|_| missing(&crate::text::clip(text, 40)))
}

/// The 404 of a change that does not exist, or is kept no more.
pub fn missing(number: &str) -> PageError {
    PageError::not_found("No such change", format!("There is no change “{number}”."))
        .near(vec![("Changes".to_owned(), "changes".to_owned())])
}

/// One change, and the builds that it is in.
///
/// # Errors
/// 500 when the template fails.
pub fn page(ask: &Ask<'_>, one: &Change) -> Result<Html, PageError> {
    let builds: Vec<Value> = ask
        .view
        .builds()
        .filter(|b| b.changes.contains(&one.id))
        .filter_map(|b| Some((ask.view.builder_by_id(b.builder)?, b)))
        .filter(|(builder, _)| ask.site.shows(&builder.builder))
        .take(BUILDS)
        .map(|(builder, b)| build_line(ask, builder, b))
        .collect();
    let decorate = &ask.site.decorate;
    let properties = one.properties.0.iter().map(|(name, property)| {
        context! { name, value => crate::text::clip(&property.0.to_string(), 500) }
    });
    ask.render(
        "change.html",
        context! {
            c => change(ask, one),
            author => one.author.clone(),
            committer => one.committer.clone(),
            category => one.category.clone(),
            codebase => one.codebase.clone(),
            repository => one.repository.clone(),
            repository_url => decorate.repository(&one.repository),
            project_url => decorate.project(&one.project),
            properties => properties.collect::<Vec<_>>(),
            builds,
        },
    )
}
