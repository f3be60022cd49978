//! Pages of the waterfall that reach below what memory holds: their builds come from the journal.
//!
//! Such a page is made of the journal alone, as much of it as the page has rows, so that memory
//! stays bounded whatever the history's length is.

use super::{
    Args,
    layout::{Column, Input, layout},
};
use crate::{
    Ask, PageError,
    view::{BuildRow, margin, slim},
};
use feed::{AnyFeed, BuildQuery, ReadError};
use model::{BuilderId, Change, ChangeId, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// Builds and changes that are read at once.
const PAGE: usize = 200;
/// After how many builds a page ends where it has come to; a filter may leave most of them out.
const MOST: usize = 4000;
/// Up to how many builders that were chosen by name are read each by itself.
const LANES: usize = 4;
/// Changes come in the order of their keys only by and large: their times are the authors'.
const SHUFFLED: u64 = 50;

/// What a page asks of the journal.
#[derive(Debug)]
pub(super) struct Wanted {
    args: Args,
    top: Timestamp,
    since: Timestamp,
    builders: Vec<BuilderId>,
}

/// What the journal had.
#[derive(Debug)]
pub(super) struct Older {
    builds: BTreeMap<BuilderId, Vec<Arc<BuildRow>>>,
    changes: Vec<Arc<Change>>,
    /// Down to when everything is there.
    since: Timestamp,
    /// Whether the journal holds more, below that.
    pub(super) more: bool,
}

/// What an older page needs of the journal; `None` where memory has it all, and for pages of the
/// present, which end with memory.
///
/// # Errors
/// 400 for an argument that can't be used.
pub(super) fn wanted(ask: &Ask<'_>) -> Result<Option<Wanted>, PageError> {
    let args = Args::parse(ask)?;
    let (Some(top), Some(horizon)) = (args.last_time, ask.view.horizon()) else { return Ok(None) };
    let since = args.since.unwrap_or(Timestamp(0));
    if since >= horizon {
        return Ok(None);
    }
    let builders = args.builders(ask);
    // Enough rows above the horizon are a page.
    if top > horizon && layout(&args.gather(ask, &builders)).full {
        return Ok(None);
    }
    let builders = builders.iter().map(|b| b.builder.id).collect();
    Ok(Some(Wanted { top, since, builders, args }))
}

/// Builds of all builders or of one, read from the newest on.
struct Lane {
    builder: Option<BuilderId>,
    below: u64,
    /// The beginning of the last build that was read; `None` after the oldest.
    reached: Option<Timestamp>,
}

impl Lane {
    async fn new(
        feed: &AnyFeed,
        builder: Option<BuilderId>,
        top: Timestamp,
    ) -> Result<Self, ReadError> {
        let below = search(feed, List::Builds(builder), top).await?;
        Ok(Self { builder, below, reached: Some(top) })
    }

    async fn read(&mut self, feed: &AnyFeed) -> Result<Vec<model::Build>, ReadError> {
        let query = BuildQuery { builder: self.builder, below: Some(self.below), limit: PAGE };
        let builds = feed.builds(query).await?;
        self.reached = None;
        // A row that can't be read is left out, so a short answer is not the end.
        if let Some(last) = builds.last() {
            self.below = key(self.builder, last);
            self.reached = Some(last.started_at);
        }
        Ok(builds)
    }
}

/// What builds are read by: their number on one builder, or else their key.
fn key(builder: Option<BuilderId>, build: &model::Build) -> u64 {
    if builder.is_some() { build.number } else { build.id.0 }
}

/// What is searched by time; times rise with keys.
#[derive(Clone, Copy)]
enum List {
    /// Of all builders or of one.
    Builds(Option<BuilderId>),
    Changes,
}

impl List {
    /// The first one below a key, and its time.
    async fn first(
        self,
        feed: &AnyFeed,
        below: u64,
    ) -> Result<Option<(u64, Timestamp)>, ReadError> {
        Ok(match self {
            Self::Builds(builder) => {
                let query = BuildQuery { builder, below: Some(below), limit: 1 };
                let builds = feed.builds(query).await?;
                builds.first().map(|b| (key(builder, b), b.started_at))
            }
            Self::Changes => {
                let changes = feed.changes(Some(ChangeId(below)), 1).await?;
                changes.first().map(|c| (c.id.0, c.when))
            }
        })
    }
}

/// The key below which all is of `top` or earlier.
async fn search(feed: &AnyFeed, list: List, top: Timestamp) -> Result<u64, ReadError> {
    let (mut low, mut high) = match list.first(feed, u64::MAX).await? {
        Some((key, at)) if at > top => (0, key),
        _ => return Ok(u64::MAX),
    };
    while low < high {
        let middle = low + (high - low) / 2;
        match list.first(feed, middle + 1).await? {
            Some((key, at)) if at > top => high = key,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}

/// Reads what a page needs, and little more.
///
/// # Errors
/// [`ReadError`] of the journal.
pub(super) async fn read(feed: &AnyFeed, wanted: Wanted) -> Result<Older, ReadError> {
    let Wanted { args, top, since, builders } = wanted;
    let chosen = !args.selection.builders.is_empty() && builders.len() <= LANES;
    let lanes: Vec<Option<BuilderId>> =
        if chosen { builders.iter().copied().map(Some).collect() } else { vec![None] };
    let mut all = Vec::with_capacity(lanes.len());
    for builder in lanes {
        all.push(Lane::new(feed, builder, top).await?);
    }
    let mut older = Older {
        builds: builders.iter().map(|id| (*id, Vec::new())).collect(),
        changes: Vec::new(),
        since,
        more: false,
    };
    let (mut read, mut longest) = (0, 0);
    // The one that is behind reads on.
    while let Some(lane) = all.iter_mut().max_by_key(|lane| lane.reached)
        && lane.reached.is_some()
    {
        let builds = lane.read(feed).await?;
        read += builds.len();
        longest = builds.iter().filter_map(seconds).fold(longest, u64::max);
        let within = |end| end <= top && end > since;
        let due = builds.iter().filter(|b| b.complete_at.is_some_and(within));
        for row in slim(due).into_iter().filter(|row| args.build(row)) {
            if let Some(column) = older.builds.get_mut(&row.builder) {
                column.push(Arc::new(row));
            }
        }
        let Some(reached) = all.iter().filter_map(|lane| lane.reached).max() else { break };
        // A page is a minute at least, so that the next one is another.
        let down_to = margin(reached, top, longest).min(Timestamp(top.0 - 60));
        if down_to <= since {
            break;
        }
        (older.since, older.more) = (down_to, true);
        if read >= MOST || layout(&older.input(&builders, top, args.rows)).full {
            break;
        }
        (older.since, older.more) = (since, false);
    }
    older.changes = changes(feed, &args, (older.since, top)).await?;
    Ok(older)
}

fn seconds(build: &model::Build) -> Option<u64> {
    Some(build.complete_at?.seconds_since(build.started_at))
}

/// Changes of a time, newest first.
async fn changes(
    feed: &AnyFeed,
    args: &Args,
    (since, top): (Timestamp, Timestamp),
) -> Result<Vec<Arc<Change>>, ReadError> {
    let mut below = search(feed, List::Changes, top).await?.saturating_add(SHUFFLED);
    let mut found = Vec::new();
    for _ in 0..MOST / PAGE {
        let changes = feed.changes(Some(ChangeId(below)), PAGE).await?;
        let Some(last) = changes.last() else { break };
        below = last.id.0;
        let over = last.when <= since;
        let within = |c: &Change| c.when <= top && c.when > since && args.change(c);
        found.extend(changes.into_iter().filter(within).map(Arc::new));
        if over || found.len() >= args.rows {
            break;
        }
    }
    Ok(found)
}

impl Older {
    /// For [`layout`], with a column for each of the builders.
    pub(super) fn input(&self, builders: &[BuilderId], top: Timestamp, rows: usize) -> Input {
        let column = |id| Column {
            builds: self.builds.get(id).cloned().unwrap_or_default(),
            events: Vec::new(),
        };
        Input {
            top,
            since: self.since,
            rows,
            columns: builders.iter().map(column).collect(),
            changes: self.changes.clone(),
        }
    }
}
