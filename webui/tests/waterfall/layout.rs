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
