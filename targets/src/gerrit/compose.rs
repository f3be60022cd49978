//! What a review says and how it votes: the same whenever the same record is composed.

use super::decide::{Place, places};
use crate::BuildError;
use crds::{GerritLabels, GerritPushSpec};
use delivery::ComposeError;
use model::{Build, Buildset, Outcome};
use render::{BuildContext, Decision, Format, Limits, Site, Template};
use serde::Serialize;
use std::fmt;

/// Gerrit takes messages of 16 KiB, unless it is told otherwise.
const LONGEST: usize = 15 * 1024;
/// The end of a message that was cut.
const CUT: &str = "\n\n(the rest is left out)";

/// A vote on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The label's name.
    pub label: String,
    /// The value; never 0.
    pub value: i64,
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:+}", self.label, self.value)
    }
}

/// What is said of a patch set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The message, as Gerrit keeps it.
    pub text: String,
    /// The votes.
    pub votes: Vec<Vote>,
}

impl Review {
    /// `Verified+1, Code-Review-1`, for people.
    pub fn title(&self) -> String {
        let votes: Vec<String> = self.votes.iter().map(ToString::to_string).collect();
        if votes.is_empty() { "no vote".to_owned() } else { votes.join(", ") }
    }
}

/// A review and where it goes: what is left to do of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub(super) review: Review,
    /// Patch sets that have it not yet.
    pub(super) left: Vec<Place>,
    /// Whether any has it.
    pub(super) sent: bool,
    /// What Gerrit refuses for good, in its words.
    pub(super) refused: Vec<String>,
    /// Whether the first that is left may have it: it was sent, and no answer came.
    pub(super) unclear: bool,
}

impl Message {
    fn new(review: Review, left: Vec<Place>) -> Self {
        Self { review, left, sent: false, refused: Vec::new(), unclear: false }
    }

    /// The review.
    pub fn review(&self) -> &Review {
        &self.review
    }

    /// The patch sets that it goes to.
    pub fn places(&self) -> &[Place] {
        &self.left
    }
}

/// Makes reviews.
#[derive(Debug)]
pub struct Composer {
    start: Option<Form>,
    review: Option<Form>,
    summary: Option<Form>,
}

/// A template and the expressions of its votes.
#[derive(Debug)]
struct Form {
    message: Template,
    votes: [(String, Decision); 2],
}

/// What nothing is added to.
#[derive(Serialize)]
struct Nothing {}

/// What a summary sees beside its first build.
#[derive(Serialize)]
struct Extra {
    builds: Vec<BuildInfo>,
    results: &'static str,
}

impl Extra {
    /// Of a buildset of one build.
    fn sample() -> Self {
        let builds = vec![BuildInfo::new(&render::sample(Outcome::Success), &Site::default())];
        Self { builds, results: Outcome::Success.word() }
    }
}

/// Names of [`Extra`]'s fields.
const EXTRA: [&str; 2] = ["builds", "results"];

/// A build of a summary: 0.8's `buildInfo`.
#[derive(Serialize)]
struct BuildInfo {
    name: String,
    number: i64,
    result: &'static str,
    result_code: Option<i64>,
    result_text: String,
    text: String,
    url: Option<String>,
}

impl BuildInfo {
    fn new(build: &Build, site: &Site) -> Self {
        let BuildContext { builder, number, result, result_code, text, url, .. } =
            BuildContext::new(build, site);
        let result_text = match build.outcome {
            Some(Outcome::Success) => "succeeded".to_owned(),
            Some(Outcome::Failure) => "failed".to_owned(),
            Some(Outcome::Warnings) => "completed with warnings".to_owned(),
            Some(Outcome::Exception) => "encountered an exception".to_owned(),
            other => {
                let code = other.map_or("None".to_owned(), |o| o.code().to_string());
                format!("completed with unknown result {code}")
            }
        };
        Self { name: builder.name, number, result, result_code, result_text, text, url }
    }
}

impl Form {
    /// `extra` lists what texts see beside the build, and `sample` has it for a build of no matter.
    fn new<E: Serialize>(
        field: &str,
        (message, verified, reviewed): (&str, &str, &str),
        labels: &GerritLabels,
        (extra, sample): (&[&str], &E),
    ) -> Result<Self, BuildError> {
        let vote = |name: &str, label: &str, source: &str| {
            let decision = Decision::compile(source, extra)
                .and_then(|decision| decision.try_number(sample))
                .map_err(|error| BuildError::new(format!("spec.{field}.{name}"), error))?;
            Ok((label.to_owned(), decision))
        };
        let limits = Limits::default();
        let message = Template::compile("message", message, Format::Text, limits, extra)
            .map_err(|error| BuildError::new(format!("spec.{field}.message"), error))?;
        let votes = [
            vote("verified", &labels.verified, verified)?,
            vote("reviewed", &labels.reviewed, reviewed)?,
        ];
        Ok(Self { message, votes })
    }

    /// `None` where there is nothing to say.
    fn review<E: Serialize>(
        &self,
        context: &BuildContext,
        extra: &E,
    ) -> Result<Option<Review>, ComposeError> {
        let text = self.message.render(context, extra);
        let text = clean(&text.map_err(|error| ComposeError(error.to_string()))?);
        if text.is_empty() {
            return Ok(None);
        }
        let mut votes = Vec::new();
        for (label, decision) in &self.votes {
            let value = decision.number(context, extra).map_err(|error| {
                ComposeError(format!("the vote `{}` of {label}: {error}", decision.source()))
            })?;
            if value != 0 {
                votes.push(Vote { label: label.clone(), value });
            }
        }
        Ok(Some(Review { text, votes }))
    }
}

impl Composer {
    pub fn new(spec: &GerritPushSpec) -> Result<Self, BuildError> {
        let labels = &spec.labels;
        let form = |field: &str, texts| Form::new(field, texts, labels, (&[], &Nothing {}));
        let start = spec.start.as_ref();
        let review = spec.review.as_ref();
        let summary = spec.summary();
        Ok(Self {
            start: start
                .map(|s| form("start", (&s.message, &s.verified, &s.reviewed)))
                .transpose()?,
            review: review
                .map(|r| form("review", (&r.message, &r.verified, &r.reviewed)))
                .transpose()?,
            summary: summary
                .as_ref()
                .map(|s| {
                    let texts = (s.message.as_str(), s.verified.as_str(), s.reviewed.as_str());
                    Form::new("summary", texts, labels, (&EXTRA, &Extra::sample()))
                })
                .transpose()?,
        })
    }

    pub fn starts(&self) -> bool {
        self.start.is_some()
    }

    pub fn reviews(&self) -> bool {
        self.review.is_some()
    }

    pub fn summarises(&self) -> bool {
        self.summary.is_some()
    }

    /// The review of a build that begins.
    pub fn start(&self, build: &Build, site: &Site) -> Result<Option<Message>, ComposeError> {
        of_build(self.start.as_ref(), build, site)
    }

    /// The review of a build that has ended.
    pub fn review(&self, build: &Build, site: &Site) -> Result<Option<Message>, ComposeError> {
        of_build(self.review.as_ref(), build, site)
    }

    /// The review of a buildset that is complete, from those of its builds that are told of, one
    /// of each request: a build that was tried again says nothing beside the one that took its
    /// place. It goes to the patch set of the first build that knows one.
    pub fn summary(
        &self,
        buildset: &Buildset,
        mut builds: Vec<Build>,
        site: &Site,
    ) -> Result<Option<Message>, ComposeError> {
        let Some(form) = &self.summary else { return Ok(None) };
        let (Some(first), Some(places)) = (
            builds.first().map(|build| BuildContext::new(build, site)),
            builds.iter().map(|b| places(&b.properties)).find(|places| !places.is_empty()),
        ) else {
            return Ok(None);
        };
        builds.sort_by(|a, b| (&a.builder.name, a.number).cmp(&(&b.builder.name, b.number)));
        let extra = Extra {
            builds: builds.iter().map(|build| BuildInfo::new(build, site)).collect(),
            results: buildset.outcome.map_or("running", Outcome::word),
        };
        Ok(form.review(&first, &extra)?.map(|review| Message::new(review, places)))
    }
}

fn of_build(
    form: Option<&Form>,
    build: &Build,
    site: &Site,
) -> Result<Option<Message>, ComposeError> {
    let places = places(&build.properties);
    let Some(form) = form.filter(|_| !places.is_empty()) else { return Ok(None) };
    let review = form.review(&BuildContext::new(build, site), &Nothing {})?;
    Ok(review.map(|review| Message::new(review, places)))
}

/// A text as Gerrit keeps it: no control characters but line ends and tabs, nothing blank around
/// it, and not too long.
fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text: String =
        text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let text = text.trim();
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LONGEST - CUT.len());
    format!("{}{CUT}", text[..end].trim_end())
}

#[cfg(test)]
mod tests;
