//! The row of headings: last build, activity with estimate, pending requests, categories.

use super::Args;
use crate::marks::{class, word};
use crate::{
    Ask, PageError, text,
    view::{Activity, BuildRow, BuilderView},
};
use minijinja::{Value, context};
use model::name_segment;

/// The row of headings, from the template `waterfall_head.html`.
pub(super) fn head(
    ask: &Ask<'_>,
    builders: &[&BuilderView],
    args: &Args,
) -> Result<String, PageError> {
    let columns: Vec<Value> = builders.iter().map(|b| column(ask, b)).collect();
    let date = args.last_time.unwrap_or(ask.now);
    let date = jiff::Timestamp::from_second(date.0)
        .map(|t| t.strftime("%a %-d %b").to_string())
        .unwrap_or_default();
    let root = if ask.root == "./" { "" } else { ask.root };
    let more = context! { columns, date, root };
    Ok(ask.site.templates.render("waterfall_head.html", more)?)
}

fn column(ask: &Ask<'_>, builder: &BuilderView) -> Value {
    let url = format!("builders/{}", name_segment(builder.name()));
    let last = builder.last().map(|b| {
        context! { number => b.number, class => class(b.outcome), text => last_text(b),
        url => format!("{url}/builds/{}", b.number) }
    });
    let (state, state_text) = activity(ask, builder);
    context! {
        name => builder.name(),
        url,
        last,
        failed_tests => builder.last().map_or(0, |b| b.tests_failed),
        state,
        state_text,
        pending => ask.view.pending(builder.builder.id).count(),
        tags => &builder.builder.tags,
    }
}

/// What the last build's line says: Buildbot's text, or the word where it has none.
fn last_text(build: &BuildRow) -> String {
    let word = word(build.outcome);
    if &*build.text == "build successful" || build.text.is_empty() {
        return word.to_owned();
    }
    text::clip(&build.text, 60).into_owned()
}

/// Class and words of what a builder does.
fn activity(ask: &Ask<'_>, builder: &BuilderView) -> (&'static str, String) {
    match ask.view.activity(builder) {
        Activity::Offline => ("o", "offline".to_owned()),
        Activity::Idle => ("i", "idle".to_owned()),
        Activity::Building => {
            let running: Vec<_> = builder.running().collect();
            let many =
                if running.len() > 1 { format!("{} ", running.len()) } else { String::new() };
            let longest = running.iter().filter_map(|b| builder.eta(b, ask.now)).max();
            let eta = match longest {
                None => String::new(),
                Some(i64::MIN..=0) => ", overdue".to_owned(),
                Some(1..=60) => ", < 1 min".to_owned(),
                Some(seconds) => format!(", ~{}", text::words(seconds.unsigned_abs())),
            };
            ("y", format!("building {many}{eta}").replace(" ,", ",").trim_end().to_owned())
        }
    }
}
