//! `/builders`: the last build of each builder (P09). Arguments `builder`, `category` and
//! `branch` may repeat (W06).

use super::parts::{builder_line, owned};
use crate::{
    Ask, Html, PageError,
    view::{BuildRow, BuilderView},
};
use minijinja::{Value, context};
use model::Selection;

/// The selection that the arguments make.
pub fn selection(ask: &Ask<'_>) -> Selection {
    let all = |name| ask.query.all(name).map(str::to_owned).collect();
    Selection { builders: all("builder"), categories: all("category"), branches: all("branch") }
}

/// Whether one of a build's source stamps is of a selected branch.
pub fn of_branch(selection: &Selection, build: &BuildRow) -> bool {
    selection.branches.is_empty()
        || build.stamps.iter().any(|s| selection.branch(s.branch.as_deref()))
}

/// Builders of this WebStatus that a selection keeps.
pub fn selected<'a>(ask: &Ask<'a>, selection: &Selection) -> Vec<&'a BuilderView> {
    ask.builders().filter(|b| selection.builder(b.name(), &b.builder.tags)).collect()
}

/// What a page's filter form offers and which part of it is in use.
pub fn filters(ask: &Ask<'_>, selection: &Selection) -> Value {
    let option = |name: &str, on: &[String]| {
        context! { name, on => on.iter().any(|o| o == name) }
    };
    let chip = |(name, value): (&str, &str)| {
        let without = ask.query.changed(|n, v| n == name && v == value, &[]);
        context! { name, value, url => if without.is_empty() { "?".to_owned() } else { without } }
    };
    let in_use = |(n, v): &(&str, &str)| {
        !v.is_empty()
            && (matches!(*n, "builder" | "category" | "branch") || n.starts_with("property."))
    };
    let known: Vec<&str> = ask.builders().map(BuilderView::name).collect();
    let unknown = owned(selection.builders.iter().filter(|b| !known.contains(&b.as_str())));
    context! {
        builders => ask.builders().map(|b| option(b.name(), &selection.builders)).collect::<Vec<_>>(),
        categories => ask.categories().into_iter()
            .map(|c| option(&c, &selection.categories)).collect::<Vec<_>>(),
        branches => selection.branches.clone(),
        chips => ask.query.iter().filter(in_use).map(chip).collect::<Vec<_>>(),
        unknown,
    }
}

/// The page.
///
/// # Errors
/// 500 when the template fails.
pub fn page(ask: &Ask<'_>) -> Result<Html, PageError> {
    let selection = selection(ask);
    let line = |b: &&BuilderView| {
        let last = b.finished().find(|x| of_branch(&selection, x));
        builder_line(ask, b, last.map(|x| &**x))
    };
    let builders: Vec<Value> = selected(ask, &selection).iter().map(line).collect();
    ask.render("builders.html", context! { builders, filters => filters(ask, &selection) })
}
