//! `/builders/NAME/builds/NUM`: one build with all that is known of it (P11).

use super::{
    builder::around,
    find::{build_path, builder_path, log_path, step_path},
    parts::{end_of, owned, remaining},
};
use crate::{
    Ask, Html, PageError,
    marks::{class, word},
    text::{clip, safe_url},
    view::BuilderView,
};
use minijinja::{Value, context};
use model::{Build, BuildId, Change, LogKind, Outcome, SourceStamp, Step, short_name};

/// Most characters of a property's value on the page.
const VALUE: usize = 500;
/// Most bytes of a patch on the page.
const PATCH: usize = 100_000;
/// Most changes on the page, and files of one.
const CHANGES: usize = 200;
const FILES: usize = 200;
/// Width of the timeline in its own units.
const WIDTH: u64 = 1000;

/// The page.
///
/// # Errors
/// 500 when the template fails.
pub fn page(ask: &Ask<'_>, builder: &BuilderView, build: &Build) -> Result<Html, PageError> {
    let (before, after) = around(builder, build.number);
    let url = |number| build_path(builder.name(), number);
    let row = ask.view.build(build.id);
    let eta = row.and_then(|row| builder.eta(row, ask.now));
    let took = build.seconds(ask.now);
    let running = build.outcome.is_none();
    let total = if running { took.max(builder.usual_seconds().unwrap_or(0)) } else { took }.max(1);
    let stamps = &build.buildset.source_stamps;
    ask.render(
        "build.html",
        context! {
            b => context! { name => builder.name(), url => builder_path(builder.name()) },
            number => build.number,
            url => url(build.number),
            class => class(build.outcome),
            word => word(build.outcome),
            text => build.text.clone(),
            running, took, eta,
            remaining => running.then(|| remaining(eta)),
            expect => builder.usual_seconds(),
            started => build.started_at.0,
            finished => build.complete_at.map(|t| t.0),
            steps => build.shown_steps().map(|s| step_line(ask, builder, build, s, total)).collect::<Vec<_>>(),
            failing => failing(builder, build),
            changes => build.changes.iter().rev().take(CHANGES).map(|c| change(ask, c)).collect::<Vec<_>>(),
            changes_count => build.changes.len(),
            stamps => stamps.iter().map(|s| stamp(ask, build, s)).collect::<Vec<_>>(),
            properties => build.properties.0.iter().map(|(name, property)| {
                let value = match &property.0 {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                context! { name, value => clip(&value, VALUE), source => property.1.clone() }
            }).collect::<Vec<_>>(),
            reason => build.buildset.reason.clone(),
            scheduler => build.buildset.scheduler.clone(),
            owners => build.owners(),
            blamelist => owned(build.blamed_names()),
            worker => build.worker.as_ref().map(|w| context! { name => w.name.clone(), url => super::workers::path(&w.name) }),
            parent => build.buildset.parent_build.and_then(|id| other(ask, id)),
            rebuilt => build.buildset.rebuilt_build.and_then(|id| other(ask, id)),
            before => before.map(|n| context! { number => n, url => url(n) }),
            after => after.map(|n| context! { number => n, url => url(n) }),
        },
    )
}

/// Another build, for a link to it.
fn other(ask: &Ask<'_>, id: BuildId) -> Option<Value> {
    let row = ask.view.build(id)?;
    let builder = ask.view.builder_by_id(row.builder)?;
    ask.site.shows(&builder.builder).then(|| {
        context! { name => builder.name(), number => row.number, url => build_path(builder.name(), row.number) }
    })
}

/// Since when the builder fails, if this build is part of a row of failures.
fn failing(builder: &BuilderView, build: &Build) -> Option<Value> {
    if !matches!(build.outcome, Some(Outcome::Failure | Outcome::Exception)) {
        return None;
    }
    let row: Vec<_> = builder
        .finished()
        .skip_while(|b| b.number > build.number)
        .take_while(|b| !matches!(b.outcome, Some(Outcome::Success | Outcome::Warnings)))
        .filter(|b| b.is_bad())
        .collect();
    let first = row.last().filter(|first| first.number < build.number)?;
    Some(context! {
        number => first.number,
        url => build_path(builder.name(), first.number),
        started => first.started_at.0,
        count => row.len(),
        authors => owned(first.authors.iter().map(|a| short_name(a))),
    })
}

/// A step as a line of the table, with its place on a timeline of `total` seconds.
pub fn step_line(
    ask: &Ask<'_>,
    builder: &BuilderView,
    build: &Build,
    step: &Step,
    total: u64,
) -> Value {
    let (name, number) = (builder.name(), build.number);
    let (outcome, end) = end_of(step, build);
    let seconds = step.started_at.map(|start| end.unwrap_or(ask.now).seconds_since(start));
    let bar = step.started_at.zip(seconds).map(|(start, seconds)| {
        let at = |seconds: u64| WIDTH.saturating_mul(seconds) / total.max(1);
        let x = at(start.seconds_since(build.started_at)).min(WIDTH - 4);
        context! { x, width => at(seconds).clamp(4, WIDTH - x) }
    });
    let waiting = step.started_at.is_none();
    let logs = step.logs.iter().map(|log| {
        context! {
            name => log.name.clone(),
            url => log_path(name, number, &step.name, &log.name),
            lines => log.lines,
            complete => log.complete || end.is_some(),
            deleted => log.kind == LogKind::Deleted,
        }
    });
    let urls =
        step.urls.iter().map(|u| context! { name => u.name.clone(), url => safe_url(&u.url) });
    context! {
        name => step.name.clone(),
        number => step.number,
        url => step_path(name, number, &step.name),
        class => if waiting { "q" } else { class(outcome) },
        word => if waiting { "pending" } else { word(outcome) },
        text => step.text.clone(),
        started => step.started_at.map(|t| t.0),
        finished => step.started_at.and(end).map(|t| t.0),
        seconds,
        expect => builder.usual_step_seconds(&step.name),
        bar,
        logs => logs.collect::<Vec<_>>(),
        urls => urls.collect::<Vec<_>>(),
    }
}

/// A change with all its words, tickets and revision as links.
pub fn change(ask: &Ask<'_>, change: &Change) -> Value {
    let decorate = &ask.site.decorate;
    let revision = change.revision.as_deref().unwrap_or_default();
    context! {
        comments => Value::from_safe_string(decorate.comments(&change.comments, &change.project)),
        long => change.comments.trim().lines().nth(1).is_some(),
        revision_url => decorate.revision(revision, &change.repository, change.revlink.as_deref()),
        names => owned(change.files.iter().take(FILES)),
        more_files => change.files.len().saturating_sub(FILES),
        ..super::parts::change_line(change)
    }
}

/// What one codebase was built from.
fn stamp(ask: &Ask<'_>, build: &Build, stamp: &SourceStamp) -> Value {
    let decorate = &ask.site.decorate;
    let got = build.got_revision(&stamp.codebase);
    let own = |revision: Option<&str>| {
        let change = build.changes.iter().rev();
        let mut same =
            change.filter(|c| c.codebase == stamp.codebase && c.revision.as_deref() == revision);
        same.next().and_then(|c| c.revlink.as_deref())
    };
    let link =
        |r: Option<&str>| r.and_then(|r| decorate.revision(r, &stamp.repository, own(Some(r))));
    context! {
        codebase => stamp.codebase.clone(),
        project => stamp.project.clone(),
        project_url => decorate.project(&stamp.project),
        repository => stamp.repository.clone(),
        repository_url => decorate.repository(&stamp.repository).or_else(|| {
            let web = stamp.repository.starts_with("https://") || stamp.repository.starts_with("http://");
            web.then(|| stamp.repository.clone())
        }),
        branch => stamp.branch.clone(),
        revision => stamp.revision.clone(),
        revision_url => link(stamp.revision.as_deref()),
        got,
        got_url => link(got),
        patch => stamp.patch.as_ref().map(|p| context! {
            level => p.level,
            subdir => p.subdir.clone(),
            author => p.author.clone(),
            comment => p.comment.clone(),
            body => &p.body[..p.body.floor_char_boundary(PATCH)],
            cut => p.body.len() > PATCH,
        }),
    }
}
