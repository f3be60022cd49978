//! Where builds stand: cells tile the grid, and none is lost.

use model::{Outcome, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;
use webui::{
    testing::{self, NOW, build, builder, change, running},
    waterfall::layout::{Column, Input, Row, Rows, layout},
};

/// The rows as a picture: one character a cell, for snapshots and for checks.
fn grid(rows: &Rows, columns: usize) -> Vec<Vec<Option<String>>> {
    let mut grid: Vec<Vec<Option<String>>> = Vec::new();
    for body in &rows.bodies {
        // What spans on from the rows above: times, changes, then builders.
        let mut open: Vec<(usize, String)> = vec![(0, String::new()); columns + 2];
        for row in &body.rows {
            let mut place = |at: usize, rows: usize, what: String| {
                assert_eq!(open[at].0, 0, "cells overlap in column {at}");
                assert!(rows > 0);
                open[at] = (rows, what);
            };
            let cells = match row {
                Row::Quiet { .. } => {
                    (0..columns + 2).for_each(|at| place(at, 1, "~".into()));
                    &[][..]
                }
                Row::Day { cells, .. } => {
                    place(0, 1, "=".into());
                    place(1, 1, "=".into());
                    cells
                }
                Row::Span { time, changes, cells, .. } => {
                    if let Some(time) = time {
                        place(0, time.rows, "|".into());
                    }
                    if let Some(cell) = changes {
                        place(1, cell.rows, cell.changes.len().to_string());
                    }
                    cells
                }
            };
            for cell in cells {
                let build = cell.build.as_ref().map_or(".".into(), |b| b.number.to_string());
                place(cell.column + 2, cell.rows, build);
            }
            let line = open
                .iter_mut()
                .map(|(left, what)| {
                    assert!(*left > 0, "a hole");
                    *left -= 1;
                    Some(what.clone())
                })
                .collect();
            grid.push(line);
        }
        assert!(open.iter().all(|(left, _)| *left == 0), "a cell crosses the end of a body");
    }
    grid
}

fn picture(rows: &Rows, columns: usize) -> String {
    let line = |line: &Vec<Option<String>>| {
        let cells: Vec<&str> = line.iter().map(|c| c.as_deref().unwrap_or(" ")).collect();
        cells.join("\t")
    };
    grid(rows, columns).iter().map(line).collect::<Vec<_>>().join("\n")
}

fn rows(builds: Vec<Vec<model::Build>>, limit: usize) -> Rows {
    let builders: Vec<_> = (1..=builds.len() as u64).map(|n| builder(n, None, &[])).collect();
    let view = testing::view(builders, builds.into_iter().flatten().collect(), vec![]);
    let columns = view
        .builders()
        .map(|b| Column { builds: b.builds().cloned().collect(), events: vec![] })
        .collect();
    layout(&Input { top: NOW, since: Timestamp(0), rows: limit, columns, changes: vec![] })
}

#[test]
fn the_layout_of_two_builders_over_a_quiet_night() {
    let rows = rows(
        vec![
            vec![build(1, 1, 16 * 60, 10, Outcome::Success), build(1, 2, 30, 20, Outcome::Failure)],
            vec![build(2, 7, 25, 5, Outcome::Success), running(2, 8, 12)],
        ],
        100,
    );
    insta::assert_snapshot!(picture(&rows, 2));
}

#[test]
fn builds_of_one_builder_at_the_same_time_stand_below_each_other() {
    let rows = rows(
        vec![vec![
            build(1, 1, 60, 50, Outcome::Success),
            build(1, 2, 50, 10, Outcome::Success),
            build(1, 3, 50, 45, Outcome::Success),
        ]],
        100,
    );
    let grid = grid(&rows, 1);
    let mut order: Vec<String> = grid.iter().filter_map(|line| line[2].clone()).collect();
    order.retain(|c| c != "." && c != "~");
    order.dedup();
    assert_eq!(order, ["3", "2", "1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn rowspans_tile_the_grid_and_builds_keep_their_order(
        builds in prop::collection::vec(
            prop::collection::vec((0_i64..4000, 0_i64..400), 0..25), 1..5),
        limit in 1_usize..120,
        changes in prop::collection::vec(0_i64..4000, 0..20),
        events in prop::collection::vec(0_i64..4000, 0..10),
    ) {
        let count = builds.len();
        let builders: Vec<_> = (1..=count as u64).map(|n| builder(n, None, &[])).collect();
        let mut all = Vec::new();
        for (column, builds) in builds.iter().enumerate() {
            let mut builds = builds.clone();
            builds.sort_by_key(|b| std::cmp::Reverse(b.0));
            for (number, (ago, minutes)) in builds.into_iter().enumerate() {
                let (of, number) = (column as u64 + 1, number as u64 + 1);
                all.push(build(of, number, ago, minutes.min(ago), Outcome::Success));
            }
        }
        let view = testing::view(builders, all, vec![]);
        let event = |ago: &i64| (Timestamp(NOW.0 - ago * 60), Arc::from("event"));
        let columns: Vec<Column> = view.builders().map(|b| Column {
            builds: b.builds().cloned().collect(),
            events: events.iter().map(event).collect(),
        }).collect();
        let changes = changes.iter().enumerate();
        let input = Input {
            top: NOW,
            since: Timestamp(0),
            rows: limit,
            columns,
            changes: changes.map(|(n, ago)| Arc::new(change(n as u64, *ago, "Ann"))).collect(),
        };
        let rows = layout(&input);
        let grid = grid(&rows, count);
        for column in 2..count + 2 {
            let mut numbers: Vec<u64> =
                grid.iter().filter_map(|line| line[column].as_ref()?.parse().ok()).collect();
            numbers.dedup();
            let mut sorted = numbers.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            sorted.dedup();
            prop_assert_eq!(numbers, sorted, "newest first, each in one piece");
        }
    }
}

#[test]
fn a_page_of_few_rows_holds_a_minute_of_many_builds_whole() {
    let view = testing::view(
        vec![builder(1, None, &[])],
        (1..=30).filter_map(|n| known(NOW.0, 1, n, (n as i64 - 300, 1, 0))).collect(),
        vec![],
    );
    let builds = view.builders().flat_map(|b| b.builds().cloned()).collect();
    let columns = vec![Column { builds, events: vec![] }];
    for top in [NOW, Timestamp(NOW.0 - 240)] {
        let rows = layout(&Input { top, rows: 10, columns: columns.clone(), ..Input::default() });
        let shown = rows.bodies.iter().flat_map(|b| &b.rows).map(|row| match row {
            Row::Span { cells, .. } => cells.iter().filter(|c| c.build.is_some()).count(),
            _ => 0,
        });
        assert_eq!(shown.sum::<usize>(), 30);
    }
}

/// Seconds until a build's beginning, or its end, is known.
const LATEST: i64 = 120;

/// A build as it is known at a moment, if it is.
fn known(
    at: i64,
    of: u64,
    number: u64,
    (start, lasts, late): (i64, i64, i64),
) -> Option<model::Build> {
    let mut known = build(of, number, 0, 1, Outcome::Success);
    let start = NOW.0 + start;
    known.started_at = Timestamp(start);
    known.complete_at = Some(Timestamp(start + lasts)).filter(|end| end.0 + late <= at);
    if known.complete_at.is_none() {
        known.outcome = None;
    }
    (start + late <= at).then_some(known)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_lies_below_the_live_rows_stays_however_late_and_fast_builds_are(
        builds in prop::collection::vec(
            prop::collection::vec((0_i64..1500, 0_i64..400, 0..LATEST), 0..60), 1..4),
        step in 15_i64..90,
    ) {
        let mut builds = builds;
        builds.iter_mut().for_each(|column| column.sort_unstable());
        let builders = |count: usize| (1..=count as u64).map(|n| builder(n, None, &[])).collect();
        let (mut edge, mut below) = (Timestamp(0), "[]".to_owned());
        for now in (NOW.0..NOW.0 + 2400).step_by(step as usize) {
            let all = builds.iter().enumerate().flat_map(|(of, column)| {
                let builds = column.iter().enumerate();
                builds.filter_map(move |(n, b)| known(now, of as u64 + 1, n as u64 + 1, *b))
            });
            let view = testing::view(builders(builds.len()), all.collect(), vec![]);
            let column = |b: &webui::view::BuilderView| Column { builds: b.builds().cloned().collect(), events: vec![] };
            let columns: Vec<Column> = view.builders().map(column).collect();
            let input = Input { top: Timestamp(now), since: Timestamp(0), rows: 5000, columns, changes: vec![] };
            let rows = layout(&input);
            grid(&rows, builds.len());
            let text = |bodies: &[&webui::waterfall::layout::Body]| format!("{bodies:?}");
            let old: Vec<_> = rows.bodies.iter().filter(|b| b.top <= edge).collect();
            prop_assert_eq!(text(&old), below);
            for body in rows.bodies.iter().filter(|b| b.top > edge) {
                prop_assert!(body.bottom >= edge, "a body crosses the edge {edge:?}: {body:?}");
            }
            edge = edge.max(rows.edge);
            below = text(&rows.bodies.iter().filter(|b| b.top <= edge).collect::<Vec<_>>());
        }
    }
}
