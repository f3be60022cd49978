//! Where each box of the waterfall stands: pure, from builds to rows.
//!
//! Time runs down the page, newest first. A row boundary is any instant at which something
//! starts, ends or arrives, and every quarter of an hour in which something ran; a browser's
//! table does the stretching. A build spans the rows between its start and its end, a cell
//! without one is idle. Long stretches without builds fold into one row.
//!
//! Rows are cut into bodies that no build crosses, and only at instants that stay boundaries:
//! all but the first body are final.

use crate::view::{BuildRow, Name};
use model::{Change, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// Minutes since 1970.
type Minute = i64;
const HOUR: Minute = 60;
const DAY: Minute = 24 * HOUR;
const QUARTER: Minute = 15;
/// Minutes without builds and changes that fold into one row, when more.
const QUIET: Minute = 40;

/// What is laid out.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Upper edge: the present, or the `last_time` that was asked for.
    pub top: Timestamp,
    /// Lower edge: nothing that ended by then is shown.
    pub since: Timestamp,
    /// Most rows.
    pub rows: usize,
    /// One for each builder, in their order.
    pub columns: Vec<Column>,
    /// Changes, newest first.
    pub changes: Vec<Arc<Change>>,
}

/// One builder's share of the input.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Builds, in any order.
    pub builds: Vec<Arc<BuildRow>>,
    /// Events that are no builds, in any order.
    pub events: Vec<(Timestamp, Name)>,
}

/// The waterfall, newest first.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Parts that no build crosses. All but the first are final.
    pub bodies: Vec<Body>,
    /// The lower edge: the next page's `last_time`.
    pub bottom: Timestamp,
    /// Whether the input holds more, below the lower edge.
    pub more: bool,
}

/// Rows that belong together.
#[derive(Clone, Debug)]
pub struct Body {
    /// Upper edge.
    pub top: Timestamp,
    /// Lower edge.
    pub bottom: Timestamp,
    /// Rows, newest first.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug)]
pub enum Row {
    /// Nothing happened for long: one line over all columns.
    Quiet {
        /// Until when; the page's upper edge if `last`.
        top: Timestamp,
        /// Since when.
        bottom: Timestamp,
        /// Whether it is the first row of the page: it lasts.
        last: bool,
    },
    /// The rows below are of this day; builds may run across.
    Day {
        /// Any time of that day.
        day: Timestamp,
        /// Cells that begin here.
        cells: Vec<Cell>,
    },
    /// A span of time.
    Span {
        /// Class of its least height, 1 to 6.
        height: u8,
        /// Whether its upper edge is a full hour.
        hour: bool,
        /// The time cell, if one begins here.
        time: Option<TimeCell>,
        /// The cell of changes, if one begins here.
        changes: Option<ChangesCell>,
        /// Cells of builders that begin here, in the order of columns.
        cells: Vec<Cell>,
    },
}

/// A cell of the column of times.
#[derive(Clone, Copy, Debug)]
pub struct TimeCell {
    /// How many rows it spans.
    pub rows: usize,
    /// The time that it shows.
    pub label: Option<Timestamp>,
}

/// A cell of the column of changes.
#[derive(Clone, Debug)]
pub struct ChangesCell {
    /// How many rows it spans.
    pub rows: usize,
    /// Changes that arrived at its upper edge, newest first.
    pub changes: Vec<Arc<Change>>,
}

/// A cell of a builder's column.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Which column.
    pub column: usize,
    /// How many rows it spans.
    pub rows: usize,
    /// The build; `None` is idle time.
    pub build: Option<Arc<BuildRow>>,
    /// Events in this time, newest first.
    pub events: Vec<Name>,
}

fn up(time: Timestamp) -> Minute {
    time.0.saturating_add(59).div_euclid(60)
}

fn down(time: Timestamp) -> Minute {
    time.0.div_euclid(60)
}

fn at(minute: Minute) -> Timestamp {
    Timestamp(minute.saturating_mul(60))
}

/// A build in its place.
struct Placed {
    end: Minute,
    start: Minute,
    build: Arc<BuildRow>,
}

/// What lies between `since` and `top`, placed.
struct Plan {
    top: Minute,
    columns: Vec<Vec<Placed>>,
    changes: BTreeMap<Minute, Vec<Arc<Change>>>,
    events: Vec<BTreeMap<Minute, Vec<Name>>>,
    /// Stretches in which something happened, oldest first, apart by more than [`QUIET`].
    spans: Vec<(Minute, Minute)>,
    /// Instants at which something that happened ended.
    ends: Vec<Minute>,
    /// Row boundaries, newest first.
    marks: Vec<Minute>,
    /// Whether something was left out below.
    more: bool,
}

impl Plan {
    fn new(input: &Input, since: Minute) -> Self {
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

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Quiet,
    Day,
    Span,
}

#[derive(Clone, Copy)]
struct Line {
    kind: Kind,
    top: Minute,
    bottom: Minute,
}

/// Lays out a waterfall.
pub fn layout(input: &Input) -> Rows {
    let since = down(input.since);
    let mut plan = Plan::new(input, since);
    let mut bottom = plan.marks.last().copied().unwrap_or(since).max(since);
    if plan.marks.len() > input.rows + 1
        && let Some(cut) = plan.marks.get(input.rows.max(1)).copied()
    {
        plan = Plan::new(input, cut);
        plan.more = true;
        bottom = cut;
    }
    let lines = lines(&plan);
    let bodies = Table::new(&plan, &lines).bodies();
    Rows { bodies, bottom: at(bottom), more: plan.more }
}

/// The rows without their cells.
fn lines(plan: &Plan) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::with_capacity(plan.marks.len());
    let mut spans = plan.spans.iter().rev().peekable();
    for pair in plan.marks.windows(2) {
        let (top, bottom) = (pair[0], pair[1]);
        while spans.peek().is_some_and(|s| s.0 >= top) {
            spans.next();
        }
        let quiet = !spans.peek().is_some_and(|s| s.0 < top && top <= s.1);
        let kind = if quiet { Kind::Quiet } else { Kind::Span };
        let changed = |above: &Line| (top - 1).div_euclid(DAY) != above.bottom.div_euclid(DAY);
        // An instant on the edge of two days belongs to the later one as a lower edge.
        if lines.last().is_some_and(|l| l.kind == Kind::Span && changed(l)) {
            lines.push(Line { kind: Kind::Day, top, bottom: top });
        }
        lines.push(Line { kind, top, bottom });
        if quiet && (bottom - 1).div_euclid(DAY) != top.div_euclid(DAY) {
            lines.push(Line { kind: Kind::Day, top: bottom, bottom });
        }
    }
    // A day without rows below it needs no name.
    while lines.last().is_some_and(|l| l.kind == Kind::Day) {
        lines.pop();
    }
    lines
}

/// Cells on their rows.
struct Table<'a> {
    plan: &'a Plan,
    lines: &'a [Line],
    /// Whether idle cells, times and changes end above this row.
    hard: Vec<bool>,
    /// Whether a body begins at this row.
    cut: Vec<bool>,
    cells: Vec<Vec<Cell>>,
}

impl<'a> Table<'a> {
    fn new(plan: &'a Plan, lines: &'a [Line]) -> Self {
        let places: Vec<Vec<(usize, usize)>> =
            plan.columns.iter().map(|column| rows_of(column, lines)).collect();
        let cut = cuts(plan, lines, &places);
        let hard = (0..lines.len())
            .map(|i| cut[i] || lines[i].kind != Kind::Span || lines[i - 1].kind != Kind::Span)
            .collect();
        let mut table = Self { plan, lines, hard, cut, cells: vec![Vec::new(); lines.len()] };
        for (column, places) in places.iter().enumerate() {
            table.fill(column, places);
        }
        table
    }

    /// Puts the cells of one column on their rows.
    fn fill(&mut self, column: usize, places: &[(usize, usize)]) {
        let events = &self.plan.events[column];
        let mut row = 0;
        for (placed, &(first, end)) in self.plan.columns[column].iter().zip(places) {
            self.idle(column, row, first);
            let within = events.range(placed.start + 1..=placed.end).rev();
            self.cells[first].push(Cell {
                column,
                rows: end - first,
                build: Some(placed.build.clone()),
                events: within.flat_map(|(_, texts)| texts).cloned().collect(),
            });
            row = end;
        }
        self.idle(column, row, self.lines.len());
    }

    /// Idle cells of one column, cut at each hour so that its line shows, and at events.
    fn idle(&mut self, column: usize, mut row: usize, end: usize) {
        let events = &self.plan.events[column];
        while row < end {
            let line = self.lines[row];
            if line.kind == Kind::Quiet {
                row += 1;
                continue;
            }
            let mut next = row + 1;
            while line.kind == Kind::Span
                && next < end
                && !self.hard[next]
                && self.lines[next].top % HOUR != 0
                && !events.contains_key(&self.lines[next].top)
            {
                next += 1;
            }
            let events = match line.kind {
                Kind::Span => events.get(&line.top).cloned().unwrap_or_default(),
                _ => Vec::new(),
            };
            self.cells[row].push(Cell { column, rows: next - row, build: None, events });
            row = next;
        }
    }

    /// How many rows from `row` on belong together.
    fn run(&self, row: usize, together: impl Fn(Line) -> bool) -> usize {
        let rest = self.lines.iter().zip(&self.hard).skip(row + 1);
        1 + rest.take_while(|(line, hard)| !**hard && together(**line)).count()
    }

    fn bodies(mut self) -> Vec<Body> {
        let mut bodies: Vec<Body> = Vec::new();
        let (mut time_until, mut changes_until) = (0, 0);
        for row in 0..self.lines.len() {
            let line = self.lines[row];
            let cells = std::mem::take(&mut self.cells[row]);
            let done = match line.kind {
                Kind::Quiet => {
                    Row::Quiet { top: at(line.top), bottom: at(line.bottom), last: row == 0 }
                }
                Kind::Day => Row::Day { day: at(line.top - 1), cells },
                Kind::Span => {
                    let minutes = line.top - line.bottom;
                    let limits = [1, 3, 7, 15, 30];
                    let time = (row >= time_until).then(|| {
                        let rows = self.run(row, |l| l.top % QUARTER != 0);
                        time_until = row + rows;
                        // Where a body was cut is of no interest to readers.
                        let first = row == 0 || self.lines[row - 1].kind != Kind::Span;
                        let shown = first || line.top % QUARTER == 0;
                        TimeCell { rows, label: shown.then(|| at(line.top)) }
                    });
                    let changes = (row >= changes_until).then(|| {
                        let arrived = |l: Line| self.plan.changes.contains_key(&l.top);
                        let rows = self.run(row, |l| !arrived(l));
                        changes_until = row + rows;
                        let changes = self.plan.changes.get(&line.top).cloned();
                        ChangesCell { rows, changes: changes.unwrap_or_default() }
                    });
                    let height = limits.iter().position(|limit| minutes <= *limit).unwrap_or(5);
                    let hour = line.top % HOUR == 0;
                    Row::Span { height: height as u8 + 1, hour, time, changes, cells }
                }
            };
            match bodies.last_mut() {
                Some(body) if !self.cut[row] => {
                    body.bottom = at(line.bottom);
                    body.rows.push(done);
                }
                _ => bodies.push(Body {
                    top: at(line.top),
                    bottom: at(line.bottom),
                    rows: vec![done],
                }),
            }
        }
        bodies
    }
}

/// The first row of each build of a column and the row below it. Builds come newest first.
fn rows_of(column: &[Placed], lines: &[Line]) -> Vec<(usize, usize)> {
    let mut places = Vec::with_capacity(column.len());
    for placed in column {
        // A build's end and start are boundaries, so whole rows lie between them; a line
        // between two days belongs to the build that runs across it.
        let inside = |l: &Line| match l.kind {
            Kind::Day => l.top < placed.end,
            _ => l.top <= placed.end,
        };
        let first = lines.partition_point(|l| !inside(l));
        let end = first
            + lines[first..].partition_point(|l| match l.kind {
                Kind::Day => l.top > placed.start,
                _ => l.bottom >= placed.start,
            });
        places.push((first, end));
    }
    places
}

/// Where bodies begin: round quiet rows, and at the lowest instant of each hour at which
/// something ended and nothing ran on.
fn cuts(plan: &Plan, lines: &[Line], places: &[Vec<(usize, usize)>]) -> Vec<bool> {
    let mut crossing = vec![0_i32; lines.len() + 1];
    for &(first, end) in places.iter().flatten() {
        crossing[first + 1] += 1;
        crossing[end] -= 1;
    }
    let mut cut = vec![false; lines.len()];
    let mut running = 0;
    let mut lowest: Option<(Minute, usize)> = None;
    for row in 0..lines.len() {
        running += crossing[row];
        if row == 0 {
            cut[0] = true;
            continue;
        }
        let (above, line) = (lines[row - 1], lines[row]);
        if line.kind == Kind::Quiet || above.kind == Kind::Quiet {
            cut[row] = true;
        } else if running == 0
            && above.kind != Kind::Day
            && plan.ends.binary_search(&line.top).is_ok()
        {
            let hour = line.top.div_euclid(HOUR);
            if let Some((_, at)) = lowest.filter(|(of, _)| *of != hour) {
                cut[at] = true;
            }
            lowest = Some((hour, row));
        }
    }
    if let Some((_, at)) = lowest {
        cut[at] = true;
    }
    cut
}
