//! `/builders/NAME`: what runs, what waits, what was (P10). Arguments: `numbuilds`, `branch`,
//! and `property.NAME=VALUE`, which compares the property as text.

use super::{
    builders::{filters, of_branch, selection},
    find,
    parts::{build_line, builder_line},
};
use crate::{
    Ask, Html, PageError,
    view::{BuildRow, BuilderView, slim},
};
use feed::BuildQuery;
use minijinja::{Value, context};
use model::{Build, Buildset, Properties, Request};
use std::borrow::Cow;

/// The most builds that `numbuilds` may ask for.
const MOST: i64 = 1000;
/// Finished builds that are searched for properties (0.8's `maxsearch`).
const SEARCHED: usize = 200;
/// How many more builds "Show more" shows.
const MORE: i64 = 20;

/// Properties that builds and requests must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(Vec<(String, Vec<String>)>);

impl Wanted {
    /// Those of the arguments `property.NAME=VALUE`. A name that comes again is satisfied by
    /// any of its values.
    pub fn of(ask: &Ask<'_>) -> Self {
        let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in ask.query.iter() {
            let Some(name) = name.strip_prefix("property.").filter(|n| !n.is_empty()) else {
                continue;
            };
            match wanted.iter_mut().find(|(n, _)| n == name) {
                Some((_, values)) => values.push(value.to_owned()),
                None => wanted.push((name.to_owned(), vec![value.to_owned()])),
            }
        }
        Self(wanted)
    }

    /// Whether there is nothing to satisfy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether properties satisfy it.
    pub fn matches(&self, properties: &Properties) -> bool {
        self.0.iter().all(|(name, values)| match properties.get(name) {
            Some(value) => values.iter().any(|wanted| is_text_of(value, wanted)),
            None => false,
        })
    }
}

/// Whether `text` is how a value is written: JSON, or Python's `True`, `False` and `None`,
/// which the master's own pages show.
fn is_text_of(value: &serde_json::Value, text: &str) -> bool {
    use serde_json::Value::{Bool, Null, String};
    match value {
        String(value) => value == text,
        Bool(_) => value.to_string().eq_ignore_ascii_case(text),
        Null => text == "None" || text == "null",
        other => serde_json::to_string(other).is_ok_and(|written| written == text),
    }
}

/// How many finished builds the page shows.
fn count(ask: &Ask<'_>) -> Result<i64, PageError> {
    let usual = i64::from(ask.site.spec.builder_numbuilds());
    Ok(ask.query.number("numbuilds", 1..=MOST)?.unwrap_or(usual))
}

/// The builds that the page needs of the journal: those that memory has not.
///
/// # Errors
/// As [`page`].
pub fn wanted(ask: &Ask<'_>, name: &str) -> Result<Option<BuildQuery>, PageError> {
    let builder = find::builder(ask, name)?;
    let count = usize::try_from(count(ask)?).unwrap_or(usize::MAX);
    let most = if Wanted::of(ask).is_empty() { count } else { SEARCHED };
    // One more shows whether there is more to show.
    let missing = (most + 1).saturating_sub(builder.finished().count());
    let below = builder.builds().next_back().map(|b| b.number);
    if missing == 0 || ask.view.horizon().is_none() || below == Some(1) {
        return Ok(None);
    }
    Ok(Some(BuildQuery { builder: Some(builder.builder.id), below, limit: missing }))
}

/// The page of the builder `name`; `older` is what the journal has of what is [`wanted`].
///
/// # Errors
/// 404 for an unknown builder, 400 for a bad argument, 500 when the template fails.
pub fn page(ask: &Ask<'_>, name: &str, older: &[Build]) -> Result<Html, PageError> {
    let builder = find::builder(ask, name)?;
    let count = count(ask)?;
    let wanted = Wanted::of(ask);
    let selection = selection(ask);
    let kept = |build: &&BuildRow| {
        of_branch(&selection, build)
            && (wanted.is_empty()
                || full(ask, build, older).is_some_and(|full| wanted.matches(&full.properties)))
    };
    let running: Vec<Value> = builder
        .running()
        .map(|b| &**b)
        .filter(&kept)
        .map(|b| build_line(ask, builder, b))
        .collect();
    let searched = if wanted.is_empty() { usize::MAX } else { SEARCHED };
    let below = slim(older);
    let finished = builder.finished().map(|b| &**b).chain(&below);
    let mut recent = finished.take(searched).filter(&kept);
    let lines: Vec<Value> = recent
        .by_ref()
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .map(|b| build_line(ask, builder, b))
        .collect();
    let more = (count < MOST && recent.next().is_some())
        .then(|| ask.query.with("numbuilds", &(count + MORE).min(MOST).to_string()));
    let pending: Vec<Value> = ask
        .view
        .pending(builder.builder.id)
        .filter_map(|request| pending(ask, request, &wanted))
        .collect();
    let id = builder.builder.id;
    let mut workers: Vec<_> = ask.view.workers().filter(|w| w.builders.contains(&id)).collect();
    workers.sort_by(|a, b| model::natural_cmp(&a.name, &b.name));
    let workers: Vec<Value> = workers.into_iter().map(super::workers::line).collect();
    ask.render(
        "builder.html",
        context! {
            b => builder_line(ask, builder, builder.last().map(|b| &**b)),
            running, pending, recent => lines, more, workers,
            searched => (!wanted.is_empty()).then_some(SEARCHED),
            filters => filters(ask, &selection),
            waterfall => format!("waterfall{}", crate::Query::default().with("builder", builder.name())),
        },
    )
}

/// All that is known of a build, in memory or not.
fn full<'a>(ask: &Ask<'_>, build: &BuildRow, older: &'a [Build]) -> Option<Cow<'a, Build>> {
    match older.iter().find(|b| b.id == build.id) {
        Some(build) => Some(Cow::Borrowed(build)),
        None => ask.view.full(build.id).map(Cow::Owned),
    }
}

/// A request that waits, if it satisfies what is wanted.
fn pending(ask: &Ask<'_>, request: &Request, wanted: &Wanted) -> Option<Value> {
    let none = Buildset::default();
    let buildset = ask.view.buildset(request.buildset).unwrap_or(&none);
    if !wanted.matches(&buildset.properties) {
        return None;
    }
    let stamps: Vec<Value> = buildset
        .source_stamps
        .iter()
        .map(|s| context! { codebase => s.codebase.clone(), branch => s.branch.clone(), revision => s.revision.clone(), patch => s.patch.is_some() })
        .collect();
    let owners = [buildset.properties.strings("owners"), buildset.properties.strings("owner")];
    Some(context! {
        id => request.id.0,
        submitted => request.submitted_at.0,
        waited => ask.now.seconds_since(request.submitted_at),
        reason => buildset.reason.clone(),
        owners => owners.concat(),
        stamps,
    })
}

/// What a build page says of the builds around it.
pub fn around(builder: &BuilderView, number: u64) -> (Option<u64>, Option<u64>) {
    let before = builder.builds().map(|b| b.number).find(|n| *n < number);
    let after = builder.builds().map(|b| b.number).take_while(|n| *n > number).last();
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::is_text_of;
    use serde_json::json;

    #[test]
    fn p10_a_property_is_compared_as_it_is_written() {
        for (value, text) in [
            (json!("linux"), "linux"),
            (json!(7), "7"),
            (json!(true), "true"),
            (json!(true), "True"),
            (json!(null), "None"),
            (json!(["a", 1]), "[\"a\",1]"),
        ] {
            assert!(is_text_of(&value, text), "{value} {text}");
        }
        assert!(!is_text_of(&json!("Linux"), "linux"));
        assert!(!is_text_of(&json!("7"), "7.0"));
    }
}
