//! Where each box of the waterfall stands: pure, from builds to rows.
//!
//! Time runs down the page, newest first. A row boundary is any instant at which something
//! starts, ends or arrives, and every quarter of an hour in which something ran; a browser's
//! table does the stretching. A build spans the rows between its start and its end, a cell
//! without one is idle. Long stretches without builds fold into one row.
//!
//! Rows are cut into bodies that no build crosses, and only at instants that stay boundaries:
//! all but the first body are final.

mod plan;
mod table;

use crate::view::{BuildRow, Name};
use model::{Change, Timestamp};
use plan::{LATE, Plan, down, up};
use std::sync::Arc;
use table::{Table, lines};

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
    /// The lower edge of what may still change.
    pub edge: Timestamp,
    /// The lower edge: the next page's `last_time`.
    pub bottom: Timestamp,
    /// Whether the input holds more, below the lower edge.
    pub more: bool,
    /// Whether the page ends because it has as many rows as it may.
    pub full: bool,
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

/// Lays out a waterfall.
pub fn layout(input: &Input) -> Rows {
    let since = down(input.since.0);
    let mut plan = Plan::new(input, since);
    let mut full = false;
    let mut bottom = plan.marks.last().copied().unwrap_or(since).max(since);
    if plan.marks.len() > input.rows + 1
        && let Some(last) = plan.marks.get(input.rows.max(1)).copied()
    {
        // Pages meet at full minutes. None is empty, so a minute of many builds stays whole.
        let newest = plan.ends.last().copied().unwrap_or(plan.top);
        let cut = if up(last) < newest { up(last) } else { down(last) };
        plan = Plan::new(input, cut);
        plan.more = true;
        full = true;
        bottom = cut;
    }
    let lines = lines(&plan);
    let bodies = Table::new(&plan, &lines).bodies();
    let live = bodies.first().map_or(Timestamp(bottom), |body| body.bottom);
    let edge = live.min(Timestamp(plan.top.saturating_sub(LATE)));
    Rows { bodies, edge, bottom: Timestamp(bottom), more: plan.more, full }
}
