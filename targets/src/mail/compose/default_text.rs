//! The usual message, word for word Buildbot 0.8's.

use super::one_line;
use crds::{Mode, Modes};
use model::{Build, Outcome, SourceStamp, segment};
use render::Site;
use std::fmt::Write;

/// The body for a finished build. For outcomes that 0.8 could not mail about (skipped, retry,
/// cancelled) the words are new.
pub fn body(build: &Build, modes: &Modes, site: &Site) -> String {
    let mut text = format!(
        "The Buildbot has detected a {} on builder {} while building {}.",
        what(build, modes),
        one_line(build.builder.name.as_str()),
        projects(build, site),
    );
    if let Some(links) = &site.links {
        let _ = write!(text, " Full details are available at:\n    {}", links.build(build));
    }
    text.push_str("\n\n");
    if let Some(links) = &site.links {
        let _ = write!(text, "Buildbot URL: {}\n\n", quoted(links.base()));
    }
    let worker = build.worker.as_ref().map_or("None", |worker| worker.name.as_str());
    let _ = write!(text, "Buildslave for this Build: {}\n\n", one_line(worker));
    let _ = writeln!(text, "Build Reason: {}", one_line(&build.buildset.reason));
    for stamp in &build.buildset.source_stamps {
        let codebase = match stamp.codebase.as_str() {
            "" => String::new(),
            codebase => format!(" '{}'", one_line(codebase)),
        };
        let _ = writeln!(text, "Build Source Stamp{codebase}: {}", source(stamp));
    }
    let blamed: Vec<String> = build.blamelist().into_iter().map(one_line).collect();
    let _ = write!(text, "Blamelist: {}\n\n", blamed.join(","));
    let _ = write!(text, "{}\n\nSincerely,\n -The Buildbot\n\n", end(build));
    text
}

fn what(build: &Build, modes: &Modes) -> &'static str {
    let differs = build.previous.is_some() && build.previous != build.outcome;
    let changed = modes.contains(Mode::Change) && differs;
    match build.outcome {
        Some(Outcome::Failure) if changed || (modes.contains(Mode::Problem) && differs) => {
            "new failure"
        }
        Some(Outcome::Failure) => "failed build",
        Some(Outcome::Warnings) => "problem in the build",
        Some(Outcome::Success) if changed => "restored build",
        Some(Outcome::Success) => "passing build",
        Some(Outcome::Exception) => "build exception",
        Some(Outcome::Skipped) => "skipped build",
        Some(Outcome::Retry) => "build that is tried again",
        Some(Outcome::Cancelled) => "cancelled build",
        None => "running build",
    }
}

/// Distinct projects in the order of the source stamps; the title if they name none.
fn projects(build: &Build, site: &Site) -> String {
    let mut projects: Vec<String> = Vec::new();
    for stamp in &build.buildset.source_stamps {
        let project = one_line(&stamp.project);
        if !project.is_empty() && !projects.contains(&project) {
            projects.push(project);
        }
    }
    if projects.is_empty() { one_line(&site.title) } else { projects.join(", ") }
}

fn source(stamp: &SourceStamp) -> String {
    let branch = stamp.branch.as_deref().filter(|branch| !branch.is_empty());
    let branch = branch.map(|branch| format!("[branch {}] ", one_line(branch))).unwrap_or_default();
    let revision = stamp.revision.as_deref().filter(|revision| !revision.is_empty());
    let patch = if stamp.patch.is_some() { " (plus patch)" } else { "" };
    format!("{branch}{}{patch}", one_line(revision.unwrap_or("HEAD")))
}

fn end(build: &Build) -> String {
    let text = match one_line(&build.text) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    };
    match build.outcome {
        Some(Outcome::Success) => "Build succeeded!".to_owned(),
        Some(Outcome::Warnings) => format!("Build Had Warnings{text}"),
        Some(Outcome::Skipped) => format!("Build skipped{text}"),
        Some(Outcome::Retry) => format!("Build is tried again{text}"),
        Some(Outcome::Cancelled) => format!("Build cancelled{text}"),
        _ => format!("BUILD FAILED{text}"),
    }
}

/// As Python's `urllib.quote(url, '/:')`.
fn quoted(url: &str) -> String {
    let parts = url.split_inclusive(['/', ':']);
    parts.fold(String::new(), |mut out, part| {
        let (text, end) = match part.char_indices().next_back() {
            Some((at, '/' | ':')) => part.split_at(at),
            _ => (part, ""),
        };
        let _ = write!(out, "{}{end}", segment(text));
        out
    })
}
