//! The waterfall's query arguments, and what of the view they pick.

use super::layout::{Column, Input};
use crate::{
    Ask, PageError, Query,
    view::{Activity, BuildRow, BuilderView, View},
};
use model::{Change, Outcome, Selection, Timestamp, short_name};
use std::sync::Arc;

/// Seconds of a day: how far back a branch or a committer is followed unless a time is given.
const DAY: i64 = 86_400;
/// The shortest time between reloads, in seconds.
const MIN_RELOAD: i64 = 15;
/// The highest second that dates can be made of (year 9999).
const MAX_TIME: i64 = 253_402_207_200;
/// Most changes in their column (0.8 had 40).
const MAX_CHANGES: usize = 1000;

/// What the address asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// `builder` (or `show`), `category`, `branch`.
    pub selection: Selection,
    /// `committer`: authors or committers of changes, whole or by name.
    pub committers: Vec<String>,
    /// `project`.
    pub projects: Vec<String>,
    /// `show_events`: whether events that are no builds show.
    pub events: bool,
    /// `failures_only`: only builders that fail at present.
    pub failures_only: bool,
    /// `last_time`: the upper edge.
    pub last_time: Option<Timestamp>,
    /// The lower edge: of `show_time`, `first_time`, or a day for a branch or committer.
    pub since: Option<Timestamp>,
    /// `num_events`: most rows.
    pub rows: usize,
    /// `reload`: seconds between reloads.
    pub reload: Option<i64>,
    /// `view=compact`: builds without their steps.
    pub compact: bool,
}

/// A moment: seconds since 1970, or `2026-11-23`, or `2026-11-23 15:12` (UTC).
fn moment(query: &Query, name: &str) -> Result<Option<Timestamp>, PageError> {
    let Some(value) = query.one(name) else { return Ok(None) };
    let text = value.trim();
    let seconds = text.split_once('.').map_or(text, |(whole, fraction)| {
        // Old pages linked fractions of seconds.
        if fraction.bytes().all(|b| b.is_ascii_digit()) { whole } else { text }
    });
    let civil = || {
        let time = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(time.in_tz("UTC").ok()?.timestamp().as_second())
    };
    match seconds.parse::<i64>().ok().or_else(civil) {
        Some(seconds) if (0..=MAX_TIME).contains(&seconds) => Ok(Some(Timestamp(seconds))),
        _ => Err(PageError::argument(
            name,
            value,
            "seconds since 1970, or a date and time in UTC such as 2026-11-23 15:12",
        )),
    }
}

impl Args {
    /// Reads the arguments.
    ///
    /// # Errors
    /// 400 that names the argument and its value.
    pub fn parse(ask: &Ask<'_>) -> Result<Self, PageError> {
        let q = ask.query;
        let all = |name| q.all(name).map(str::to_owned).collect::<Vec<_>>();
        let selection = Selection {
            builders: [all("builder"), all("show")].concat(),
            categories: all("category"),
            branches: all("branch"),
        };
        let committers = all("committer");
        let last_time = moment(q, "last_time")?;
        let first_time = moment(q, "first_time")?;
        let show_time = q.number("show_time", 1..=MAX_TIME)?;
        let top = last_time.unwrap_or(ask.now);
        let back = |seconds: i64| Timestamp(top.0.saturating_sub(seconds));
        let narrow = !selection.branches.is_empty() || !committers.is_empty();
        let no_times = last_time.is_none() && first_time.is_none();
        let since = match show_time {
            Some(seconds) => Some(back(seconds)),
            None => first_time.or((narrow && no_times).then(|| back(DAY))),
        };
        let spec = &ask.site.spec;
        let most = spec.num_events_max.unwrap_or(u32::MAX).max(1);
        let wanted = q.number("num_events", 1..=i64::from(u32::MAX))?;
        let rows = wanted.and_then(|n| u32::try_from(n).ok()).unwrap_or(spec.num_events).min(most);
        let reload = match q.one("reload") {
            Some("none") => None,
            _ => q.number("reload", 0..=DAY)?.map(|n| n.max(MIN_RELOAD)),
        };
        let compact = match q.one("view") {
            None | Some("full") => false,
            Some("compact") => true,
            Some(other) => return Err(PageError::argument("view", other, "compact or full")),
        };
        Ok(Self {
            selection,
            committers,
            projects: all("project"),
            events: q.flag("show_events")?.unwrap_or(true),
            failures_only: q.flag("failures_only")?.unwrap_or(false),
            last_time,
            since,
            rows: rows as usize,
            reload,
            compact,
        })
    }

    /// Whether the page shows the present, and so may change.
    pub fn is_live(&self) -> bool {
        self.last_time.is_none()
    }

    /// The builders that are shown.
    pub fn builders<'a>(&self, ask: &Ask<'a>) -> Vec<&'a BuilderView> {
        let view = ask.view;
        let mut builders: Vec<&BuilderView> = view.builders().collect();
        // One that is no longer configured shows when it is asked for by name.
        for name in &self.selection.builders {
            let gone = view.builder(name).filter(|b| !b.builder.configured);
            builders.extend(gone);
        }
        builders.sort_by(|a, b| model::natural_cmp(a.name(), b.name()));
        builders.dedup_by_key(|b| b.builder.id);
        builders.retain(|b| {
            ask.site.shows(&b.builder)
                && self.selection.builder(b.name(), &b.builder.tags)
                && (!self.failures_only || is_failing(view, b))
        });
        builders
    }

    fn is_by(&self, who: &str) -> bool {
        self.committers.iter().any(|c| c == who || c == short_name(who))
    }

    /// Whether a build is shown.
    pub fn build(&self, build: &BuildRow) -> bool {
        let branches = &self.selection.branches;
        (branches.is_empty()
            || build.stamps.iter().any(|s| self.selection.branch(s.branch.as_deref())))
            && (self.committers.is_empty()
                || build.authors.iter().chain(&build.committers).any(|who| self.is_by(who)))
            && (self.projects.is_empty()
                || self.projects.iter().any(|p| {
                    let own = build.project.as_deref() == Some(p);
                    own || build.stamps.iter().any(|s| &*s.project == p.as_str())
                }))
    }

    /// Whether a change is shown. Like 0.8, `project` does not narrow the changes; a category
    /// narrows those that have one of their own.
    pub fn change(&self, change: &Change) -> bool {
        let categories = &self.selection.categories;
        let category = change.category.as_ref().filter(|c| !c.is_empty());
        self.selection.branch(change.branch.as_deref())
            && category.is_none_or(|c| categories.is_empty() || categories.contains(c))
            && (self.committers.is_empty()
                || self.is_by(&change.author)
                || change.committer.as_deref().is_some_and(|who| self.is_by(who)))
    }

    /// The lower edge of a page that is made of memory: that of the arguments, or down to where
    /// memory is complete.
    pub fn lower_edge(&self, view: &View) -> Timestamp {
        let since = self.since.unwrap_or(Timestamp(0));
        view.horizon().map_or(since, |horizon| horizon.max(since))
    }

    /// Picks what is laid out. Of the builds in memory, each is looked at once at most.
    pub fn gather(&self, ask: &Ask<'_>, builders: &[&BuilderView]) -> Input {
        let top = self.last_time.unwrap_or(ask.now);
        let since = self.lower_edge(ask.view);
        let old = |b: &BuildRow| b.complete_at.is_some_and(|end| end <= since);
        let mut columns: Vec<Column> = builders
            .iter()
            .map(|builder| {
                let due = builder.builds().filter(|b| b.complete_at.is_none_or(|e| e <= top));
                // A build takes a row or more, so more than that many never fit; one beyond
                // says that there are older ones.
                // Builds end in another order than they begin, so one that is too old does not
                // mean that those before it are.
                let builds = due
                    .filter(|b| since.0 == 0 || !old(b))
                    .filter(|b| self.build(b) && (self.last_time.is_none() || b.outcome.is_some()))
                    .take(self.rows + 2);
                Column { builds: builds.cloned().collect(), events: Vec::new() }
            })
            .collect();
        if self.events {
            for event in ask.view.happenings().filter(|h| h.at <= top && h.at > since) {
                for (column, builder) in columns.iter_mut().zip(builders) {
                    let all = event.builders.is_empty();
                    if all || event.builders.contains(&builder.builder.id) {
                        column.events.push((event.at, event.text.clone()));
                    }
                }
            }
        }
        let changes = ask.view.changes().filter(|c| c.when <= top && c.when > since);
        let changes: Vec<Arc<Change>> =
            changes.filter(|c| self.change(c)).take(self.rows.min(MAX_CHANGES)).cloned().collect();
        Input { top, since, rows: self.rows, columns, changes }
    }
}

/// Whether a builder fails at present: its last finished build was no success, a step of a
/// current build fails, or it is offline.
pub fn is_failing(view: &View, builder: &BuilderView) -> bool {
    let bad = |o: Option<Outcome>| matches!(o, Some(Outcome::Failure | Outcome::Exception));
    builder.last().is_some_and(|b| b.outcome != Some(Outcome::Success))
        || builder.running().any(|b| b.steps.iter().any(|s| bad(s.outcome)))
        || view.activity(builder) == Activity::Offline
}
