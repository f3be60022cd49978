//! What the waterfall shows, placed in time, and the instants at which its rows begin.

use super::Input;
use crate::view::{BuildRow, Name};
use model::Change;
use std::{collections::BTreeMap, sync::Arc};

/// Seconds since 1970, or how many. All but the boundaries between builds that one builder began
/// in the same minute are full minutes.
pub(super) type Seconds = i64;
pub(super) const MINUTE: Seconds = 60;
pub(super) const HOUR: Seconds = 60 * MINUTE;
pub(super) const DAY: Seconds = 24 * HOUR;
pub(super) const QUARTER: Seconds = 15 * MINUTE;
/// Time without builds and changes that folds into one row, when more.
const QUIET: Seconds = 40 * MINUTE;
/// The newest time stays live: a build may be known two minutes after it began.
pub(super) const LATE: Seconds = 3 * MINUTE;

/// The full minute at or after a moment.
pub(super) fn up(moment: Seconds) -> Seconds {
    down(moment.saturating_add(MINUTE - 1))
}

/// The full minute at or before a moment.
pub(super) fn down(moment: Seconds) -> Seconds {
    moment.saturating_sub(moment.rem_euclid(MINUTE))
}

/// A build in its place.
pub(super) struct Placed {
    pub(super) end: Seconds,
    /// Until when it ran, which is above `end` if a newer one began meanwhile.
    pub(super) ran: Seconds,
    pub(super) start: Seconds,
    pub(super) build: Arc<BuildRow>,
}

/// What lies between `since` and `top`, placed.
pub(super) struct Plan {
    pub(super) top: Seconds,
    pub(super) columns: Vec<Vec<Placed>>,
    pub(super) changes: BTreeMap<Seconds, Vec<Arc<Change>>>,
    pub(super) events: Vec<BTreeMap<Seconds, Vec<Name>>>,
    /// Stretches in which something happened, oldest first, apart by more than [`QUIET`].
    pub(super) spans: Vec<(Seconds, Seconds)>,
    /// Instants at which something that happened ended.
    pub(super) ends: Vec<Seconds>,
    /// Row boundaries, newest first.
    pub(super) marks: Vec<Seconds>,
    /// Whether something was left out below.
    pub(super) more: bool,
}

impl Plan {
    pub(super) fn new(input: &Input, since: Seconds) -> Self {
        let top = up(input.top.0);
        let mut more = false;
        let mut columns = Vec::with_capacity(input.columns.len());
        let mut events = Vec::with_capacity(input.columns.len());
        for column in &input.columns {
            columns.push(place(&column.builds, top, since, &mut more));
            let mut here: BTreeMap<Seconds, Vec<Name>> = BTreeMap::new();
            for (time, text) in &column.events {
                let minute = up(time.0);
                if minute > since && minute <= top {
                    here.entry(minute).or_default().push(text.clone());
                } else {
                    more |= minute <= since;
                }
            }
            events.push(here);
        }
        let mut changes: BTreeMap<Seconds, Vec<Arc<Change>>> = BTreeMap::new();
        for change in &input.changes {
            let minute = up(change.when.0);
            if minute > since && minute <= top {
                changes.entry(minute).or_default().push(change.clone());
            } else {
                more |= minute <= since;
            }
        }
        let mut plan = Self {
            top,
            columns,
            changes,
            events,
            spans: Vec::new(),
            ends: Vec::new(),
            marks: Vec::new(),
            more,
        };
        plan.divide(since);
        plan
    }

    /// Finds the spans and the row boundaries.
    fn divide(&mut self, since: Seconds) {
        let placed = self.columns.iter().flatten().map(|p| (p.start, p.end));
        let moments = self.changes.keys().chain(self.events.iter().flat_map(BTreeMap::keys));
        let mut busy: Vec<(Seconds, Seconds)> =
            placed.chain(moments.map(|m| ((m - MINUTE).max(since), *m))).collect();
        busy.sort_unstable();
        let mut marks: Vec<Seconds> = vec![self.top];
        for (start, end) in busy {
            marks.extend([start, end]);
            self.ends.push(end);
            match self.spans.last_mut() {
                Some(last) if start <= last.1 + QUIET => last.1 = last.1.max(end),
                _ => self.spans.push((start, end)),
            }
        }
        self.ends.sort_unstable();
        self.ends.dedup();
        if let Some(last) = self.spans.last_mut()
            && self.top <= last.1 + QUIET
        {
            last.1 = last.1.max(self.top);
        }
        for &(start, end) in &self.spans {
            let mut quarter = (start + QUARTER - 1).div_euclid(QUARTER) * QUARTER;
            while quarter <= end {
                marks.push(quarter);
                quarter += QUARTER;
            }
        }
        marks.sort_unstable_by(|a, b| b.cmp(a));
        marks.dedup();
        self.marks = marks;
    }
}

/// Where a builder's builds begin, in their order, oldest first: at their minute, and further ones
/// of that minute a second apart. So one that begins moves nothing that lies below its minute, and
/// the rows of several builders fit together.
fn beginnings(builds: &[&Arc<BuildRow>]) -> Vec<Seconds> {
    let mut begins: Vec<Seconds> = Vec::with_capacity(builds.len());
    for build in builds {
        let minute = down(build.started_at.0);
        let after = begins.last().map(|before| before + 1);
        begins.push(after.map_or(minute, |after| after.max(minute)));
    }
    begins
}

/// Places a builder's builds, newest first, so that none overlaps the next: a builder may run
/// several at once, and then the older ends where the newer begins.
fn place(builds: &[Arc<BuildRow>], top: Seconds, since: Seconds, more: &mut bool) -> Vec<Placed> {
    let mut builds: Vec<&Arc<BuildRow>> = builds.iter().collect();
    builds.sort_by_key(|b| (b.started_at, b.number));
    let begins = beginnings(&builds);
    let mut floor = Seconds::MAX;
    let mut placed = Vec::new();
    for (build, begin) in builds.into_iter().zip(begins).rev() {
        let ran = build.complete_at.map_or(top, |end| up(end.0));
        if ran <= since {
            *more = true;
            continue;
        }
        if ran > top {
            continue;
        }
        let end = ran.min(floor);
        // Its lower part is not for this page; but a little of it is.
        let start = begin.min(end - 1).max(since.min(end - 1));
        floor = start;
        placed.push(Placed { end, ran, start, build: build.clone() });
    }
    placed
}
