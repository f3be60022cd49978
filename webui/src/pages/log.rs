//! `…/logs/LOG`: the page around a log's lines (P13). The lines are streamed into it.

use super::{
    find::{build_path, builder_path, log_path, step_path},
    parts::end_of,
};
use crate::marks::{class, word};
use crate::{
    Ask, PageError,
    logs::{Aside, PAGE, Window},
    view::BuilderView,
};
use minijinja::{Value, context};
use model::{Build, Log, LogKind, Step, name_segment};

/// Where the template has the lines go. Nothing from outside can hold it: it would be escaped.
const LINES: &str = "<!--lines-->";

/// What the page says of its lines.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Which lines they are.
    pub window: Window,
    /// The first of them that looks like an error.
    pub first_error: Option<u64>,
}

/// What stands before and after the lines.
///
/// # Errors
/// 500 when the template fails.
pub fn page(
    ask: &Ask<'_>,
    builder: &BuilderView,
    build: &Build,
    (step, log): (&Step, &Log),
    shown: Shown,
) -> Result<Aside, PageError> {
    let Shown { window, first_error } = shown;
    let name = name_segment(&log.name).to_string();
    let (outcome, end) = end_of(step, build);
    let running = !log.complete && end.is_none();
    let others = step.logs.iter().map(|l| {
        context! { name => l.name.clone(), url => log_path(builder.name(), build.number, &step.name, &l.name), on => l.id == log.id, deleted => l.kind == LogKind::Deleted }
    });
    let page = ask.render(
        "log.html",
        context! {
            b => context! { name => builder.name(), url => builder_path(builder.name()) },
            number => build.number,
            build_url => build_path(builder.name(), build.number),
            step => context! {
                name => step.name.clone(),
                url => step_path(builder.name(), build.number, &step.name),
                class => class(outcome),
                word => word(outcome),
                text => step.text.clone(),
                seconds => step.started_at.map(|t| end.unwrap_or(ask.now).seconds_since(t)),
            },
            log => context! { name => log.name.clone(), lines => log.lines, text => format!("{name}/text") },
            others => others.collect::<Vec<_>>(),
            running,
            first_error,
            window => context! { first => window.first, last => window.last, total => window.total },
            paged => window.count() < window.total,
            earlier => window.earlier(PAGE),
            later => window.later(),
            end => window.end(PAGE),
            stream => (running && window.reaches_end()).then(|| format!("{name}/live?first={}", window.last + 1)),
            lines => Value::from_safe_string(LINES.to_owned()),
        },
    )?;
    let (before, after) = page.0.split_once(LINES).unwrap_or((&page.0, ""));
    Ok(Aside { before: before.to_owned(), after: after.to_owned() })
}
