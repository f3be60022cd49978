//! What several pages show of a builder, a build or a change, as their templates see it.

use super::find::{build_path, builder_path, log_path, step_path};
use crate::{
    Ask,
    marks::{class, size, word},
    view::{Activity, BuildRow, BuilderView},
};
use minijinja::{Value, context};
use model::{Build, Change, Outcome, Step, Timestamp};

/// How a step ended and when; nothing while it runs. One that was running when its build ended
/// (the master was killed) runs no more, and ended as the build did.
pub fn end_of(step: &Step, build: &Build) -> (Option<Outcome>, Option<Timestamp>) {
    (step.outcome.or(build.outcome), step.complete_at.or(build.complete_at))
}

/// Builds in a sparkline.
const SPARK: usize = 20;

/// Texts for a template.
pub fn owned<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Vec<String> {
    texts.into_iter().map(|text| text.as_ref().to_owned()).collect()
}

/// One build as a line of a list.
pub fn build_line(ask: &Ask<'_>, builder: &BuilderView, build: &BuildRow) -> Value {
    let text = match &*build.text {
        // Buildbot's longer way to say it.
        "" | "build successful" => word(build.outcome),
        text => text,
    };
    let eta = builder.eta(build, ask.now);
    let changes: Vec<Value> = build
        .changes
        .iter()
        .rev()
        .take(3)
        .filter_map(|id| ask.view.change(*id))
        .map(|c| change_line(c))
        .collect();
    context! {
        number => build.number,
        url => build_path(builder.name(), build.number),
        builder => builder.name(),
        builder_url => builder_path(builder.name()),
        class => class(build.outcome),
        word => word(build.outcome),
        text,
        started => build.started_at.0,
        finished => build.complete_at.map(|t| t.0),
        seconds => build.seconds(ask.now),
        expect => builder.usual_seconds(),
        eta,
        step => build.running_step().map(|s| s.name.to_string()),
        revision => build.revision.as_deref(),
        branch => build.branch(),
        reason => &*build.reason,
        changes,
        changes_count => build.changes.len(),
        authors => owned(build.authors.iter().map(|a| model::short_name(a))),
    }
}

/// One builder as a line of a list: its last build, what it does, how it did.
pub fn builder_line(ask: &Ask<'_>, builder: &BuilderView, last: Option<&BuildRow>) -> Value {
    let last = last.map(|build| build_line(ask, builder, build));
    context! {
        name => builder.name(),
        url => builder_path(builder.name()),
        tags => builder.builder.tags.clone(),
        description => builder.builder.description.clone(),
        configured => builder.builder.configured,
        state => activity(ask, builder),
        pending => ask.view.pending(builder.builder.id).count(),
        last,
        spark => spark(builder, ask.now),
    }
}

/// What a builder does now, as a mark: class and words.
pub fn activity(ask: &Ask<'_>, builder: &BuilderView) -> Value {
    let (class, text) = match ask.view.activity(builder) {
        Activity::Offline => ("o", "offline".to_owned()),
        Activity::Idle => ("i", "idle".to_owned()),
        Activity::Building => {
            let eta = builder.running().filter_map(|b| builder.eta(b, ask.now)).max();
            ("y", format!("building{}", remaining(eta)))
        }
    };
    context! { class, text }
}

/// What is to be said of the time that a build will still take: `, ~5 min`.
pub fn remaining(eta: Option<i64>) -> String {
    match eta.map(u64::try_from) {
        None => String::new(),
        Some(Ok(0) | Err(_)) => ", overdue".to_owned(),
        Some(Ok(seconds)) if seconds < 60 => ", < 1 min".to_owned(),
        Some(Ok(seconds)) => format!(", ~{}", crate::text::words(seconds)),
    }
}

/// The last builds as a row of bars, oldest first.
fn spark(builder: &BuilderView, now: Timestamp) -> Value {
    let mut recent: Vec<&BuildRow> = builder.finished().take(SPARK).map(|b| &**b).collect();
    recent.reverse();
    let good =
        recent.iter().filter(|b| b.outcome.is_some_and(|o| o <= model::Outcome::Warnings)).count();
    let bad = recent.iter().filter(|b| b.is_bad()).count();
    let bars: Vec<String> =
        recent.iter().map(|b| format!("{} h{}", class(b.outcome), size(b.seconds(now)))).collect();
    context! { bars, good, bad }
}

/// One change as a line of a list.
pub fn change_line(change: &Change) -> Value {
    context! {
        id => change.id.0,
        url => format!("changes/{}", change.id),
        who => change.author_name(),
        subject => change.subject(),
        revision => change.revision.clone(),
        when => change.when.0,
        branch => change.branch.clone(),
        project => change.project.clone(),
        files => change.files.len(),
    }
}

/// The steps and logs of a build that went wrong, for the lists of failures.
pub fn culprit(builder: &BuilderView, build: &BuildRow) -> Option<Value> {
    let step = build.culprit()?;
    let log = step.logs.iter().find(|l| &*l.name == "stdio").or(step.logs.first());
    Some(context! {
        name => &*step.name,
        url => step_path(builder.name(), build.number, &step.name),
        log => log.map(|l| &*l.name),
        log_url => log.map(|l| log_path(builder.name(), build.number, &step.name, &l.name)),
    })
}
