//! `/one_line_per_build`: finished builds of all builders, the last to finish first (P17).

use super::{
    builders::{filters, of_branch, selection},
    parts::build_line,
};
use crate::{Ask, Html, PageError};
use minijinja::{Value, context};

/// The most builds that `numbuilds` may ask for.
const MOST: i64 = 1000;

/// The page. `builder`, `category` and `branch` may repeat; `numbuilds` says how many.
///
/// # Errors
/// 400 for a bad argument, 500 when the template fails.
pub fn page(ask: &Ask<'_>) -> Result<Html, PageError> {
    let usual = i64::from(ask.site.spec.list_numbuilds());
    let count = ask.query.number("numbuilds", 1..=MOST)?.unwrap_or(usual);
    let selection = selection(ask);
    let mut builds: Vec<_> = ask
        .view
        .builds()
        .filter(|b| b.complete_at.is_some() && of_branch(&selection, b))
        .filter_map(|b| Some((ask.view.builder_by_id(b.builder)?, b)))
        .filter(|(builder, _)| {
            ask.site.shows(&builder.builder)
                && selection.builder(builder.name(), &builder.builder.tags)
        })
        .collect();
    builds.sort_by_key(|(_, b)| std::cmp::Reverse((b.complete_at, b.id)));
    builds.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    let lines: Vec<Value> =
        builds.into_iter().map(|(builder, b)| build_line(ask, builder, b)).collect();
    ask.render(
        "one_line_per_build.html",
        context! { lines, count, filters => filters(ask, &selection) },
    )
}
