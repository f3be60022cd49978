//! `/waterfall/help`: a form with all arguments, filled in with those of the address.

use super::chosen;
use crate::{Ask, Html, PageError};
use minijinja::context;

/// The help page; its form leads back to the waterfall.
///
/// # Errors
/// 500 for a template that fails.
pub fn help(ask: &Ask<'_>) -> Result<Html, PageError> {
    let known = ["builder", "show", "category", "branch", "committer", "project", "view"];
    let handled = ["show_events", "failures_only", "reload", "num_events", "show_time"];
    let times = ["last_time", "first_time"];
    let is_known = |n: &str| [&known[..], &handled, &times].concat().contains(&n);
    // What the form does not know is kept too.
    let other = ask.query.iter().filter(|(n, v)| !is_known(n) && !v.is_empty());
    let other: Vec<_> = other.map(|(n, v)| vec![n.to_owned(), v.to_owned()]).collect();
    let custom = |name: &str, offered: &[&str]| {
        ask.query.one(name).filter(|v| !offered.contains(v)).map(str::to_owned)
    };
    let spec = &ask.site.spec;
    ask.render(
        "waterfall_help.html",
        context! {
            builders => ask.builders().map(|b| b.name().to_owned()).collect::<Vec<_>>(),
            categories => ask.categories(),
            args => chosen(ask),
            other,
            back => format!("waterfall{}", ask.query.changed(|_, _| false, &[])),
            reload => custom("reload", &["none", "60", "300", "600"]),
            show_time => custom("show_time", &["3600", "21600", "86400", "604800"]),
            num_events => spec.num_events,
            num_events_max => spec.num_events_max,
        },
    )
}
