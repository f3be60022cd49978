//! The rows of the waterfall, their cells, and where they are cut into bodies.

use super::{
    Body, Cell, ChangesCell, Row, TimeCell,
    plan::{DAY, HOUR, LATE, MINUTE, Placed, Plan, QUARTER, Seconds},
};
use model::Timestamp;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Quiet,
    Day,
    Span,
}

#[derive(Clone, Copy)]
pub(super) struct Line {
    kind: Kind,
    top: Seconds,
    bottom: Seconds,
}

/// The rows without their cells.
pub(super) fn lines(plan: &Plan) -> Vec<Line> {
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
pub(super) struct Table<'a> {
    plan: &'a Plan,
    lines: &'a [Line],
    /// Whether idle cells, times and changes end above this row.
    hard: Vec<bool>,
    /// Whether a body begins at this row.
    cut: Vec<bool>,
    cells: Vec<Vec<Cell>>,
}

impl<'a> Table<'a> {
    pub(super) fn new(plan: &'a Plan, lines: &'a [Line]) -> Self {
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

    pub(super) fn bodies(mut self) -> Vec<Body> {
        let mut bodies: Vec<Body> = Vec::new();
        let (mut time_until, mut changes_until) = (0, 0);
        for row in 0..self.lines.len() {
            let line = self.lines[row];
            let cells = std::mem::take(&mut self.cells[row]);
            let done = match line.kind {
                Kind::Quiet => Row::Quiet {
                    top: Timestamp(line.top),
                    bottom: Timestamp(line.bottom),
                    last: row == 0,
                },
                Kind::Day => Row::Day { day: Timestamp(line.top - 1), cells },
                Kind::Span => {
                    let lasts = line.top - line.bottom;
                    let limits = [1, 3, 7, 15, 30];
                    let time = (row >= time_until).then(|| {
                        let rows = self.run(row, |l| l.top % QUARTER != 0);
                        time_until = row + rows;
                        // Where a body was cut is of no interest to readers.
                        let first = row == 0 || self.lines[row - 1].kind != Kind::Span;
                        let shown = first || line.top % QUARTER == 0;
                        TimeCell { rows, label: shown.then_some(Timestamp(line.top)) }
                    });
                    let changes = (row >= changes_until).then(|| {
                        let arrived = |l: Line| self.plan.changes.contains_key(&l.top);
                        let rows = self.run(row, |l| !arrived(l));
                        changes_until = row + rows;
                        let changes = self.plan.changes.get(&line.top).cloned();
                        ChangesCell { rows, changes: changes.unwrap_or_default() }
                    });
                    let height =
                        limits.iter().position(|limit| lasts <= limit * MINUTE).unwrap_or(5);
                    let hour = line.top % HOUR == 0;
                    Row::Span { height: height as u8 + 1, hour, time, changes, cells }
                }
            };
            match bodies.last_mut() {
                Some(body) if !self.cut[row] => {
                    body.bottom = Timestamp(line.bottom);
                    body.rows.push(done);
                }
                _ => bodies.push(Body {
                    top: Timestamp(line.top),
                    bottom: Timestamp(line.bottom),
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
/// something ended and nothing ran on. The newest minutes are left whole: a build is known some
/// seconds after it began.
fn cuts(plan: &Plan, lines: &[Line], places: &[Vec<(usize, usize)>]) -> Vec<bool> {
    let mut crossing = vec![0_i32; lines.len() + 1];
    for (placed, &(_, end)) in plan.columns.iter().flatten().zip(places.iter().flatten()) {
        // Its box may end where a newer one begins, but says how it ended only later.
        let crossed = lines.partition_point(|line| line.top >= placed.ran);
        crossing[crossed.min(end)] += 1;
        crossing[end] -= 1;
    }
    let mut cut = vec![false; lines.len()];
    let mut running = 0;
    let mut lowest: Option<(Seconds, usize)> = None;
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
            && line.top <= plan.top - LATE
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
