//! The waterfall (P02): what all builders did, against time.
//!
//! `args` reads the query and picks builds, [`layout`] puts them on rows, `write` makes HTML of
//! the rows, `head` the row of headings, `live` the stream of updates, `older` what the journal has for pages
//! below memory. [`page`] does all but the
//! rows, which [`Waterfall::write`] makes one body after the other, so that a large page
//! is on its way while it is made.

mod args;
mod head;
mod help;
pub mod layout;
pub mod live;
mod older;
mod serve;
mod write;

pub use args::{Args, is_failing};
pub use help::help;
pub use serve::routes;

use crate::{Ask, Html, PageError};
use layout::{Body, Row};
use minijinja::{Value, context};
use model::{BuilderId, Timestamp};
use older::Older;
use write::{ColumnInfo, Writer};

/// Stands in the rendered template where the rows go.
const ROWS: &str = "<!--rows-->";
/// Bytes of rows that are handed on at once.
const CHUNK: usize = 32 * 1024;

/// A waterfall, all but written.
#[derive(Debug)]
pub struct Waterfall {
    before: String,
    after: String,
    bodies: Vec<Body>,
    root: String,
    now: Timestamp,
    compact: bool,
    live: bool,
    columns: Vec<ColumnInfo>,
}

/// Builds and everything else of a page, before any HTML.
struct Picked {
    args: Args,
    rows: layout::Rows,
    columns: Vec<ColumnInfo>,
    head: String,
    ids: Vec<BuilderId>,
}

/// Of memory, or of what the journal had for a page below it.
fn pick(ask: &Ask<'_>, older: Option<&Older>) -> Result<Picked, PageError> {
    let args = Args::parse(ask)?;
    let builders = args.builders(ask);
    let ids: Vec<BuilderId> = builders.iter().map(|b| b.builder.id).collect();
    let (input, more) = match older {
        Some(older) => {
            let top = args.last_time.unwrap_or(ask.now);
            (older.input(&ids, top, args.rows), older.more)
        }
        None => {
            let more = args.lower_edge(ask.view) > args.since.unwrap_or(Timestamp(0));
            (args.gather(ask, &builders), more)
        }
    };
    let mut rows = layout::layout(&input);
    if more && !rows.full {
        // All is known down to there, though nothing may have happened.
        (rows.more, rows.bottom) = (true, input.since);
    }
    let columns = builders.iter().map(|b| ColumnInfo::new(b)).collect();
    let head = head::head(ask, &builders, &args)?;
    Ok(Picked { args, rows, columns, head, ids })
}

/// Links that take one argument's value away again.
fn chips(ask: &Ask<'_>) -> Vec<Value> {
    let shown = |(name, value): &(&str, &str)| !value.is_empty() && *name != "view";
    let chip = |(name, value): (&str, &str)| {
        let without = ask.query.changed(|n, v| n == name && v == value, &[]);
        let label = match name {
            "last_time" | "first_time" => value
                .parse::<i64>()
                .map_or_else(|_| value.to_owned(), |t| crate::text::stamp(Timestamp(t))),
            _ => value.to_owned(),
        };
        context! { name, value => label, url => format!("waterfall{without}") }
    };
    ask.query.iter().filter(shown).map(chip).collect()
}

/// All values of the arguments, for the controls of forms.
pub(crate) fn chosen(ask: &Ask<'_>) -> Value {
    let mut all = std::collections::BTreeMap::<&str, Vec<Value>>::new();
    for (name, value) in ask.query.iter().filter(|(_, v)| !v.is_empty()) {
        // `show` is the old name of `builder`.
        all.entry(if name == "show" { "builder" } else { name })
            .or_default()
            .push(Value::from(value));
    }
    let all = all.into_iter().map(|(name, values)| (name.to_owned(), Value::from(values)));
    Value::from(all.collect::<std::collections::BTreeMap<String, Value>>())
}

/// Makes the waterfall that an address asks for.
///
/// # Errors
/// 400 for an argument that can't be used, 500 for a template that fails.
pub fn page(ask: &Ask<'_>) -> Result<Waterfall, PageError> {
    made_of(ask, None)
}

/// As [`page`], of what the journal had if it is a page below memory.
fn made_of(ask: &Ask<'_>, older: Option<&Older>) -> Result<Waterfall, PageError> {
    let Picked { args, rows, columns, head, ids } = pick(ask, older)?;
    let last_time = rows.bottom.0.to_string();
    let drop = |n: &str, _: &str| n == "last_time" || n == "reload";
    let older = rows
        .more
        .then(|| format!("waterfall{}", ask.query.changed(drop, &[("last_time", &last_time)])));
    let newer = (!args.is_live()).then(|| format!("waterfall{}", ask.query.changed(drop, &[])));
    let names: Vec<String> = ask.builders().map(|b| b.name().to_owned()).collect();
    let edge = rows.edge;
    let stream = args.is_live().then(|| {
        let (edge, ids) = (edge.0.to_string(), live::columns(ids));
        let own = [("since", edge.as_str()), ("columns", ids.as_str())];
        let query = ask.query.changed(|n, _| own.iter().any(|(own, _)| *own == n), &own);
        format!("live/waterfall{query}")
    });
    let frame = context! {
        builders => names,
        categories => ask.categories(),
        columns => columns.len(),
        args => chosen(ask),
        events => args.events,
        failures_only => args.failures_only,
        compact => args.compact,
        rows => args.rows,
        chips => chips(ask),
        help => format!("waterfall/help{}", ask.query.changed(|_, _| false, &[])),
        older,
        newer,
        stream,
        reload => args.reload,
        stop => format!("waterfall{}", ask.query.without("reload")),
        head => Value::from_safe_string(head),
        body => Value::from_safe_string(ROWS.to_owned()),
    };
    let Html(html) = ask.render("waterfall.html", frame)?;
    let (before, after) = html.split_once(ROWS).unwrap_or((&html, ""));
    Ok(Waterfall {
        before: before.to_owned(),
        after: after.to_owned(),
        bodies: rows.bodies,
        root: ask.root.to_owned(),
        now: ask.now,
        compact: args.compact,
        live: args.is_live(),
        columns,
    })
}

impl Waterfall {
    /// Writes the page and hands it on in pieces, until `send` says that nobody reads on.
    pub fn write(&self, mut send: impl FnMut(&str) -> bool) {
        let writer = Writer {
            root: if self.root == "./" { "" } else { &self.root },
            now: self.now,
            compact: self.compact,
            columns: self.columns.clone(),
            new_since: None,
        };
        if !send(&self.before) {
            return;
        }
        let mut out = String::with_capacity(CHUNK + CHUNK / 4);
        if self.live && self.bodies.is_empty() {
            out.push_str("<tbody id=live></tbody>\n");
        }
        for (i, body) in self.bodies.iter().enumerate() {
            out.push_str(if self.live && i == 0 { "<tbody id=live>\n" } else { "<tbody>\n" });
            for row in &body.rows {
                writer.row(row, &mut out);
                if out.len() > CHUNK {
                    if !send(&out) {
                        return;
                    }
                    out.clear();
                }
            }
            out.push_str("</tbody>\n");
        }
        out.push_str(&self.after);
        send(&out);
    }

    /// The whole page.
    pub fn html(&self) -> String {
        let mut html = String::new();
        self.write(|piece| {
            html.push_str(piece);
            true
        });
        html
    }

    /// How many boxes (builds and their steps) it shows.
    pub fn boxes(&self) -> usize {
        let cells = self.bodies.iter().flat_map(|b| &b.rows).flat_map(|row| match row {
            Row::Quiet { .. } => &[][..],
            Row::Day { cells, .. } | Row::Span { cells, .. } => cells,
        });
        cells
            .filter_map(|c| c.build.as_ref())
            .map(|b| 1 + if self.compact { 0 } else { b.shown_steps().count() })
            .sum()
    }
}
