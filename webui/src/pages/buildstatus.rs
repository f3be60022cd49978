//! `/buildstatus?builder=&number=`: one build's steps in the form of the waterfall, without
//! the frame of the other pages, to be set into another page (P08).

use super::{
    build::step_line,
    find::{build_path, builder_path},
    parts::end_of,
};
use crate::{
    Ask, Html, PageError,
    marks::{class, size, word},
    view::BuilderView,
};
use minijinja::{Value, context};
use model::Build;

/// The builder and the number that the arguments name.
///
/// # Errors
/// 400 when one is missing.
pub fn arguments<'q>(ask: &Ask<'q>) -> Result<(&'q str, &'q str), PageError> {
    let one = |name: &str| {
        ask.query.one(name).ok_or_else(|| {
            let text = format!("{name}= is missing: this page takes builder= and number=.");
            PageError::new(400, "Missing argument", text)
        })
    };
    Ok((one("builder")?, one("number")?))
}

/// The page.
///
/// # Errors
/// 500 when the template fails.
pub fn page(ask: &Ask<'_>, builder: &BuilderView, build: &Build) -> Result<Html, PageError> {
    let took = build.seconds(ask.now).max(1);
    // Steps that never began have no place in time.
    let steps = build.shown_steps().filter(|s| s.started_at.is_some()).rev();
    let steps: Vec<Value> = steps
        .map(|s| {
            let seconds = s
                .started_at
                .map_or(0, |start| end_of(s, build).1.unwrap_or(ask.now).seconds_since(start));
            context! { size => size(seconds), ..step_line(ask, builder, build, s, took) }
        })
        .collect();
    ask.render(
        "buildstatus.html",
        context! {
            b => context! { name => builder.name(), url => builder_path(builder.name()) },
            number => build.number,
            url => build_path(builder.name(), build.number),
            class => class(build.outcome),
            word => word(build.outcome),
            text => build.text.clone(),
            took => build.seconds(ask.now),
            started => build.started_at.0,
            finished => build.complete_at.map(|t| t.0),
            steps,
        },
    )
}
