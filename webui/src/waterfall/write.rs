//! Rows of the waterfall as HTML.
//!
//! A waterfall has thousands of boxes, each of three to six elements, so they are written by
//! hand: a template would take many times as long. The frame round them is `waterfall.html`
//! and can be replaced; the look of the boxes is the style sheet's.

use super::layout::{Body, Cell, Row};
use crate::{
    marks::{class, size, word},
    text::{self, escape_into},
    view::{BuildRow, BuilderView, StepRow},
};
use model::{Change, LogKind, Outcome, Timestamp, name_segment};
use std::fmt::Write as _;

/// Most characters of a name or text in a box; the rest stands on the page it links to.
const LONGEST: usize = 120;
/// Most logs of a step in its box.
const MOST_LOGS: usize = 8;
/// Most changes in one cell.
const MOST_CHANGES: usize = 12;

/// What the writer needs beside the rows.
#[derive(Debug)]
pub struct Writer<'a> {
    /// The way up to the first page.
    pub root: &'a str,
    /// When.
    pub now: Timestamp,
    /// Builds without their steps.
    pub compact: bool,
    /// The columns.
    pub columns: Vec<ColumnInfo>,
    /// Builds above this moment are new to the reader.
    pub new_since: Option<Timestamp>,
}

/// What a column's boxes need to know of their builder.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Address of the builder below the root.
    pub url: String,
    /// How long the steps of running builds take, by name.
    pub usual: Vec<(crate::view::Name, u64)>,
}

impl ColumnInfo {
    /// Of a builder; the estimates are only of steps that run.
    pub fn new(builder: &BuilderView) -> Self {
        let steps = builder.running().filter_map(|b| b.running_step());
        let usual =
            steps.filter_map(|s| Some((s.name.clone(), builder.usual_step_seconds(&s.name)?)));
        Self { url: format!("builders/{}", name_segment(builder.name())), usual: usual.collect() }
    }
}

fn clipped(out: &mut String, text: &str) {
    escape_into(out, &text::clip(text, LONGEST));
}

fn number(out: &mut String, n: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{n}");
}

/// A day: `Monday 23 November 2026`.
fn date(time: Timestamp) -> String {
    let day = jiff::Timestamp::from_second(time.0).map(|t| t.strftime("%A %-d %B %Y").to_string());
    day.unwrap_or_default()
}

fn span(out: &mut String, rows: usize) {
    if rows > 1 {
        out.push_str(" rowspan=");
        number(out, rows);
    }
}

impl Writer<'_> {
    /// The rows of a body, without its `<tbody>`.
    pub fn rows(&self, body: &Body, out: &mut String) {
        for row in &body.rows {
            self.row(row, out);
        }
    }

    /// One row.
    pub fn row(&self, row: &Row, out: &mut String) {
        match row {
            Row::Quiet { top, bottom, last } => {
                out.push_str("<tr class=z><td class=t0></td><td colspan=");
                number(out, self.columns.len() + 1);
                let quiet = text::words(top.seconds_since(*bottom));
                let (from, to) = (text::clock(*bottom), text::clock(*top));
                let _ = if *last {
                    write!(out, "><span>since {from}: no builds for {quiet}")
                } else {
                    write!(out, "><span>{from} to {to}: no builds for {quiet}")
                };
                out.push_str("</span></td></tr>\n");
            }
            Row::Day { day, cells } => {
                out.push_str("<tr class=d><th class=t0 scope=row colspan=2>");
                out.push_str(&date(*day));
                out.push_str("</th>");
                self.cells(cells, out);
                out.push_str("</tr>\n");
            }
            Row::Span { height, hour, time, changes, cells } => {
                let _ = match hour {
                    true => write!(out, "<tr class=\"t{height} h\">"),
                    false => write!(out, "<tr class=t{height}>"),
                };
                if let Some(time) = time {
                    // A header without words would be read out as one.
                    let (tag, said) = match time.label {
                        Some(label) => ("th class=t0 scope=row", text::clock(label)),
                        None => ("td class=t0", String::new()),
                    };
                    let _ = write!(out, "<{tag}");
                    span(out, time.rows);
                    let _ = write!(out, ">{said}</{}>", &tag[..2]);
                }
                if let Some(cell) = changes {
                    out.push_str("<td class=m");
                    span(out, cell.rows);
                    out.push('>');
                    for change in cell.changes.iter().take(MOST_CHANGES) {
                        self.change(change, out);
                    }
                    if let Some(more) = cell.changes.len().checked_sub(MOST_CHANGES + 1) {
                        let _ =
                            write!(out, "<a href=\"{}changes\">{} more</a>", self.root, more + 1);
                    }
                    out.push_str("</td>");
                }
                self.cells(cells, out);
                out.push_str("</tr>\n");
            }
        }
    }

    fn change(&self, change: &Change, out: &mut String) {
        out.push_str("<a href=\"");
        out.push_str(self.root);
        out.push_str("changes/");
        number(out, change.id);
        out.push_str("\"><b>");
        clipped(out, change.author_name());
        out.push_str("</b>");
        if let Some(revision) = &change.revision {
            out.push_str("<code>");
            escape_into(out, text::rev(revision));
            out.push_str("</code>");
        }
        out.push_str("<span>");
        clipped(out, change.subject());
        out.push_str("</span></a>");
    }

    fn cells(&self, cells: &[Cell], out: &mut String) {
        for cell in cells {
            out.push_str("<td");
            span(out, cell.rows);
            out.push('>');
            match (&cell.build, self.columns.get(cell.column)) {
                (Some(build), Some(column)) => self.build(build, column, cell, out),
                _ => events(cell, out),
            }
            out.push_str("</td>");
        }
    }

    fn build(&self, build: &BuildRow, column: &ColumnInfo, cell: &Cell, out: &mut String) {
        let class = class(build.outcome);
        let new = self.new_since.is_some_and(|since| build.started_at > since);
        let _ = match (class, new) {
            ("s", false) => write!(out, "<div class=b>"),
            ("s", true) => write!(out, "<div class=\"b new\">"),
            (class, false) => write!(out, "<div class=\"b {class}\">"),
            (class, true) => write!(out, "<div class=\"b {class} new\">"),
        };
        let _ = write!(
            out,
            "<a href=\"{}{}/builds/{}\"><b>{}</b><u>{}</u><i>{}</i></a>",
            self.root,
            column.url,
            build.number,
            build.number,
            word(build.outcome),
            text::brief(build.seconds(self.now)),
        );
        events(cell, out);
        if !self.compact {
            for step in build.shown_steps().rev().filter(|s| s.started_at.is_some()) {
                self.step(step, build, column, out);
            }
        }
        out.push_str("</div>");
    }

    fn step(&self, step: &StepRow, build: &BuildRow, column: &ColumnInfo, out: &mut String) {
        // A step that was running when its build ended (the master was killed) runs no more.
        let outcome = if step.outcome.is_none() { build.outcome } else { step.outcome };
        let end = step.complete_at.or(build.complete_at).unwrap_or(self.now);
        let seconds = step.started_at.map_or(0, |start| end.seconds_since(start));
        let _ = match (class(outcome), size(seconds)) {
            ("s", 1) => write!(out, "<p>"),
            ("s", share) => write!(out, "<p class=h{share}>"),
            (class, 1) => write!(out, "<p class={class}>"),
            (class, share) => write!(out, "<p class=\"{class} h{share}\">"),
        };
        let href = |out: &mut String| {
            let _ = write!(
                out,
                "<a href=\"{}{}/builds/{}/steps/{}",
                self.root,
                column.url,
                build.number,
                name_segment(&step.name),
            );
        };
        href(out);
        out.push_str("\">");
        // A step that passed is known by its name; any other says what happened.
        let plain = matches!(outcome, None | Some(Outcome::Success | Outcome::Skipped));
        clipped(out, if plain || step.text.is_empty() { &step.name } else { &step.text });
        out.push_str("</a>");
        for log in step.logs.iter().take(MOST_LOGS) {
            if log.kind == LogKind::Deleted || (log.lines == 0 && log.complete) {
                out.push_str("<s>");
                clipped(out, &log.name);
                out.push_str("</s>");
                continue;
            }
            href(out);
            out.push_str("/logs/");
            number(out, name_segment(&log.name));
            out.push_str("\">");
            clipped(out, &log.name);
            out.push_str("</a>");
        }
        for url in step.urls.iter().take(MOST_LOGS) {
            if let Some(href) = text::safe_url(&url.url) {
                out.push_str("<a rel=nofollow href=\"");
                escape_into(out, href);
                out.push_str("\">[");
                clipped(out, &url.name);
                out.push_str("]</a>");
            }
        }
        if outcome.is_none() {
            let usual = column.usual.iter().find(|(name, _)| *name == step.name);
            if let Some((_, usual)) = usual.filter(|(_, usual)| *usual > 0) {
                let _ = write!(
                    out,
                    "<progress class=y value={} max={usual} aria-label=\"",
                    seconds.min(*usual),
                );
                clipped(out, &step.name);
                let _ = write!(
                    out,
                    ": {} of about {}\"></progress>",
                    text::dur(seconds),
                    text::dur(*usual)
                );
            }
        }
        out.push_str("</p>");
    }
}

fn events(cell: &Cell, out: &mut String) {
    for event in &cell.events {
        out.push_str("<div class=ev>");
        clipped(out, event);
        out.push_str("</div>");
    }
}
