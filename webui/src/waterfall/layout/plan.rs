//! What the waterfall shows, placed in time, and the instants at which its rows begin.

use super::Input;
use crate::view::{BuildRow, Name};
use model::{Change, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// Minutes since 1970.
pub(super) type Minute = i64;
pub(super) const HOUR: Minute = 60;
pub(super) const DAY: Minute = 24 * HOUR;
pub(super) const QUARTER: Minute = 15;
/// Minutes without builds and changes that fold into one row, when more.
const QUIET: Minute = 40;

fn up(time: Timestamp) -> Minute {
    time.0.saturating_add(59).div_euclid(60)
}

pub(super) fn down(time: Timestamp) -> Minute {
    time.0.div_euclid(60)
}

pub(super) fn at(minute: Minute) -> Timestamp {
    Timestamp(minute.saturating_mul(60))
}

/// A build in its place.
pub(super) struct Placed {
    pub(super) end: Minute,
    pub(super) start: Minute,
    pub(super) build: Arc<BuildRow>,
}

/// What lies between `since` and `top`, placed.
pub(super) struct Plan {
    top: Minute,
    pub(super) columns: Vec<Vec<Placed>>,
    pub(super) changes: BTreeMap<Minute, Vec<Arc<Change>>>,
    pub(super) events: Vec<BTreeMap<Minute, Vec<Name>>>,
    /// Stretches in which something happened, oldest first, apart by more than [`QUIET`].
    pub(super) spans: Vec<(Minute, Minute)>,
    /// Instants at which something that happened ended.
    pub(super) ends: Vec<Minute>,
    /// Row boundaries, newest first.
    pub(super) marks: Vec<Minute>,
    /// Whether something was left out below.
    pub(super) more: bool,
}

impl Plan {
    pub(super) fn new(input: &Input, since: Minute) -> Self {
        let top = up(input.top);
        let mut more = false;
        let mut columns = Vec::with_capacity(input.columns.len());
        let mut events = Vec::with_capacity(input.columns.len());
        for column in &input.columns {
            columns.push(place(&column.builds, top, since, &mut more));
            let mut here: BTreeMap<Minute, Vec<Name>> = BTreeMap::new();
            for (time, text) in &column.events {
                let minute = up(*time);
                if minute > since && minute <= top {
                    here.entry(minute).or_default().push(text.clone());
                } else {
                    more |= minute <= since;
                }
            }
            events.push(here);
        }
        let mut changes: BTreeMap<Minute, Vec<Arc<Change>>> = BTreeMap::new();
        for change in &input.changes {
            let minute = up(change.when);
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
    fn divide(&mut self, since: Minute) {
        let placed = self.columns.iter().flatten().map(|p| (p.start, p.end));
        let moments = self.changes.keys().chain(self.events.iter().flat_map(BTreeMap::keys));
        let mut busy: Vec<(Minute, Minute)> =
            placed.chain(moments.map(|m| ((m - 1).max(since), *m))).collect();
        busy.sort_unstable();
        let mut marks: Vec<Minute> = vec![self.top];
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

/// Places a builder's builds, newest first, so that none overlaps the next: a builder may run
/// several at once, and then the older ends where the newer begins.
fn place(builds: &[Arc<BuildRow>], top: Minute, since: Minute, more: &mut bool) -> Vec<Placed> {
    let mut builds: Vec<&Arc<BuildRow>> = builds.iter().collect();
    builds.sort_by_key(|b| std::cmp::Reverse((b.started_at, b.number)));
    let mut floor = Minute::MAX;
    let mut placed = Vec::new();
    for build in builds {
        let end = build.complete_at.map_or(top, up);
        if end <= since {
            *more = true;
            continue;
        }
        if end > top || down(build.started_at) >= top && build.complete_at.is_some() {
            continue;
        }
        let end = end.min(floor);
        let mut start = down(build.started_at).min(end - 1);
        // Its lower part is not for this page; but one minute of it is.
        start = start.max(since.min(end - 1));
        floor = start;
        placed.push(Placed { end, start, build: build.clone() });
    }
    placed
}
