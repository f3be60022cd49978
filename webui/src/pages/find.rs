//! What an address names: builders, builds, steps, logs; or in plain words why there is none.

use crate::{Ask, PageError, view::BuilderView};
use model::{Build, Log, Step, name_segment};

/// How like a name must be to be offered instead, and how many are.
const ALIKE: f64 = 0.6;
const OFFERED: usize = 4;
/// Most characters of an unknown name that a page repeats.
const QUOTED: usize = 80;

fn quoted(name: &str) -> String {
    crate::text::clip(name, QUOTED).into_owned()
}

/// The path of a builder's page below the root.
pub fn builder_path(name: &str) -> String {
    format!("builders/{}", name_segment(name))
}

/// The path of a build's page below the root.
pub fn build_path(builder: &str, number: u64) -> String {
    format!("builders/{}/builds/{number}", name_segment(builder))
}

/// The path of a step's page below the root.
pub fn step_path(builder: &str, number: u64, step: &str) -> String {
    format!("{}/steps/{}", build_path(builder, number), name_segment(step))
}

/// The path of a log's page below the root.
pub fn log_path(builder: &str, number: u64, step: &str, log: &str) -> String {
    format!("{}/logs/{}", step_path(builder, number, step), name_segment(log))
}

/// A builder that this WebStatus shows.
///
/// # Errors
/// 404 with the names that are most like it.
pub fn builder<'a>(ask: &Ask<'a>, name: &str) -> Result<&'a BuilderView, PageError> {
    if let Some(found) = ask.view.builder(name).filter(|b| ask.site.shows(&b.builder)) {
        return Ok(found);
    }
    let shown = ask.view.builders().filter(|b| ask.site.shows(&b.builder));
    let score = |b: &BuilderView| {
        strsim::jaro_winkler(&b.name().to_lowercase(), &quoted(name).to_lowercase())
    };
    let mut alike: Vec<(f64, &BuilderView)> =
        shown.map(|b| (score(b), b)).filter(|(score, _)| *score >= ALIKE).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.truncate(OFFERED);
    let text = format!(
        "There is no builder named “{}”.{}",
        quoted(name),
        if alike.is_empty() { "" } else { " Did you mean one of these?" }
    );
    let near = |(_, b): (f64, &BuilderView)| (b.name().to_owned(), builder_path(b.name()));
    Err(PageError::not_found("No such builder", text).near(alike.into_iter().map(near).collect()))
}

/// The number of a build: as it is, or counted from the end (`-1` is the last one).
///
/// # Errors
/// 404 when it is no number, or counts back beyond the first build.
pub fn build_number(builder: &BuilderView, text: &str) -> Result<u64, PageError> {
    let missing = |why: String| Err(no_build(builder, why));
    match text.parse::<i64>() {
        Ok(number) => match u64::try_from(number) {
            Ok(number) => Ok(number),
            Err(_) => {
                let back = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
                match builder.builds().nth(back - 1) {
                    Some(build) => Ok(build.number),
                    None => missing(format!("{} does not have so many builds.", builder.name())),
                }
            }
        },
        Err(_) => missing(format!("“{}” is no number of a build.", quoted(text))),
    }
}

/// The 404 of a build that does not exist, or is kept no more.
pub fn no_build(builder: &BuilderView, text: String) -> PageError {
    let mut near = vec![(builder.name().to_owned(), builder_path(builder.name()))];
    if let Some(last) = builder.builds().next() {
        near.push((format!("Build {}", last.number), build_path(builder.name(), last.number)));
    }
    PageError::not_found("No such build", text).near(near)
}

/// A step by its name; by its number where no step has that name.
///
/// # Errors
/// 404 with the build's steps.
pub fn step<'b>(build: &'b Build, name: &str) -> Result<&'b Step, PageError> {
    let by_number = || {
        let number: u64 = name.parse().ok()?;
        build.steps.iter().find(|s| s.number == number)
    };
    // Of steps of the same name the first is meant, as ever.
    build.steps.iter().find(|s| s.name == name).or_else(by_number).ok_or_else(|| {
        let builder = build.builder.name.as_str();
        let text = format!("Build {} has no step named “{}”.", build.number, quoted(name));
        let near = build.shown_steps().take(12);
        PageError::not_found("No such step", text).near(
            near.map(|s| (s.name.clone(), step_path(builder, build.number, &s.name))).collect(),
        )
    })
}

/// A log by its name, or else by its slug.
///
/// # Errors
/// 404 with the step's logs.
pub fn log<'b>(build: &'b Build, step: &'b Step, name: &str) -> Result<&'b Log, PageError> {
    let by_slug = || step.logs.iter().find(|l| l.slug == name);
    step.logs.iter().find(|l| l.name == name).or_else(by_slug).ok_or_else(|| {
        let builder = build.builder.name.as_str();
        let text = format!("The step {} has no log named “{}”.", step.name, quoted(name));
        let path = |l: &Log| log_path(builder, build.number, &step.name, &l.name);
        PageError::not_found("No such log", text)
            .near(step.logs.iter().take(12).map(|l| (l.name.clone(), path(l))).collect())
    })
}
