//! Which build a build is compared with (M10).

use crate::BuildError;
use crds::PreviousBuild;
use feed::{AnyFeed, BuildQuery, ReadError};
use model::{Build, Outcome};
use render::{BuildContext, Decision, DecisionError, Site};
use serde::Serialize;

/// How far back is looked.
const MOST: usize = 200;
/// Builds that are read at once.
const PAGE: usize = 25;

/// Finds the build before a build.
#[derive(Debug)]
pub enum Previous {
    /// The one that the event tells of.
    Number,
    /// Of the same branches.
    SameBranch,
    /// In the order of revisions.
    Topological,
    /// As an expression says.
    Expression(Box<Decision>),
}

/// What an expression sees beside the build.
#[derive(Serialize)]
struct Candidate<'a> {
    candidate: &'a BuildContext,
}

/// What a look at some earlier builds gave.
#[derive(Debug, PartialEq)]
enum Look {
    /// This one.
    Found(Option<Outcome>),
    /// There is none, however far back one looks.
    None,
    /// Not among these.
    Further,
}

impl Previous {
    pub fn new(choice: &PreviousBuild) -> Result<Self, BuildError> {
        Ok(match choice {
            PreviousBuild::Number => Self::Number,
            PreviousBuild::SameBranch => Self::SameBranch,
            PreviousBuild::Topological => Self::Topological,
            PreviousBuild::Expression(source) => {
                let sample = Candidate { candidate: &BuildContext::sample(Outcome::Success) };
                let decision = Decision::compile(source, &["candidate"])
                    .and_then(|decision| decision.try_decide(&sample))
                    .map_err(|error| BuildError::new("spec.previousBuildGetter", error))?;
                Self::Expression(Box::new(decision))
            }
        })
    }

    /// Whether the event itself has the answer.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Number)
    }

    /// The outcome of the build before; `None` if there is none. Reads at most [`MOST`] builds of
    /// the journal, so a builder's age costs nothing.
    pub async fn of(
        &self,
        build: &Build,
        feed: &AnyFeed,
        site: &Site,
    ) -> Result<Option<Outcome>, ReadError> {
        if self.is_told() {
            return Ok(build.previous);
        }
        let mut best = Best::default();
        // Builds of higher numbers may be of older revisions.
        let mut below = (!matches!(self, Self::Topological)).then_some(build.number);
        for _ in 0..MOST / PAGE {
            let query = BuildQuery { builder: Some(build.builder.id), below, limit: PAGE };
            let page = feed.builds(query).await?;
            let (count, last) = (page.len(), page.last().map(|build| build.number));
            match self.look(build, &page, site, &mut best) {
                Look::Found(outcome) => return Ok(outcome),
                Look::None => return Ok(None),
                Look::Further => {}
            }
            below = last;
            if count < PAGE {
                break;
            }
        }
        Ok(best.outcome)
    }

    fn look(&self, build: &Build, page: &[Build], site: &Site, best: &mut Best) -> Look {
        // Builds that ended later are not what this one was compared with when it ended.
        let earlier =
            page.iter().filter(|b| b.id != build.id && b.complete_at <= build.complete_at);
        match self {
            Self::Number => Look::Found(build.previous),
            Self::SameBranch => {
                let mut same = earlier.filter(|candidate| branches(candidate) == branches(build));
                same.next().map_or(Look::Further, |candidate| Look::Found(candidate.outcome))
            }
            Self::Topological => {
                for candidate in earlier {
                    if best.add(build, candidate).is_none() {
                        return Look::None;
                    }
                }
                Look::Further
            }
            Self::Expression(decision) => {
                let context = BuildContext::new(build, site);
                for candidate in earlier {
                    let seen = BuildContext::new(candidate, site);
                    match decision.decide(&context, &Candidate { candidate: &seen }) {
                        Ok(true) => return Look::Found(candidate.outcome),
                        Ok(false) => {}
                        Err(error) => refused(build, candidate, &error),
                    }
                }
                Look::Further
            }
        }
    }
}

fn refused(build: &Build, candidate: &Build, error: &DecisionError) {
    let (builder, number) = (&build.builder.name, candidate.number);
    tracing::warn!(%builder, number, %error, "previousBuildGetter fails, so this is not the build before");
}

/// Codebases and branches, sorted.
fn branches(build: &Build) -> Vec<(&str, Option<&str>)> {
    let stamps = build.buildset.source_stamps.iter();
    let mut all: Vec<_> = stamps.map(|s| (s.codebase.as_str(), s.branch.as_deref())).collect();
    all.sort_unstable();
    all
}

/// Where a build stands among those of its branches: source stamps are numbered as revisions come
/// in, and requests as they are made. A build of "the newest" has its place by its request.
fn place(build: &Build) -> (bool, u64, u64) {
    let stamps = &build.buildset.source_stamps;
    let fixed = stamps.iter().all(|stamp| stamp.revision.is_some());
    let newest = stamps.iter().map(|stamp| stamp.id.0).max().unwrap_or_default();
    (fixed, if fixed { newest } else { 0 }, build.request.0)
}

/// The nearest build of an older revision so far.
#[derive(Default)]
struct Best {
    place: Option<(bool, u64, u64)>,
    outcome: Option<Outcome>,
}

impl Best {
    /// Looks at one more; `None` if it is of a newer revision, so that nothing is compared.
    fn add(&mut self, build: &Build, candidate: &Build) -> Option<()> {
        let (own, other) = (place(build), place(candidate));
        let alike = own.0 == other.0 && branches(build) == branches(candidate);
        // A build that was tried again is no build before its second try.
        if !alike || build.request == candidate.request {
            return Some(());
        }
        if other > own {
            return None;
        }
        if self.place.is_none_or(|best| other > best) {
            self.place = Some(other);
            self.outcome = candidate.outcome;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Best, Look, Previous};
    use crds::PreviousBuild;
    use model::{Build, BuildId, Outcome, RequestId, SourceStamp, SourceStampId, Timestamp};
    use render::Site;

    /// A build of a revision, numbered as it came in; 0 is "the newest".
    fn build(number: u64, branch: &str, revision: u64, outcome: Outcome) -> Build {
        let mut build = Build {
            id: BuildId(number),
            number,
            request: RequestId(number),
            outcome: Some(outcome),
            complete_at: Some(Timestamp(1000)),
            ..Build::default()
        };
        build.buildset.source_stamps = vec![SourceStamp {
            id: SourceStampId(revision.max(1)),
            branch: Some(branch.to_owned()),
            revision: (revision > 0).then(|| format!("r{revision}")),
            ..SourceStamp::default()
        }];
        build
    }

    fn look(choice: &str, build: &Build, page: &[Build]) -> Option<Outcome> {
        let previous = Previous::new(&PreviousBuild::from(choice.to_owned())).unwrap();
        let mut best = Best::default();
        match previous.look(build, page, &Site::default(), &mut best) {
            Look::Found(outcome) => outcome,
            Look::None => None,
            Look::Further => best.outcome,
        }
    }

    use Outcome::{Failure, Success, Warnings};

    #[test]
    fn m10_same_branch_leaves_out_builds_of_other_branches() {
        let page = [build(4, "wip", 9, Failure), build(3, "main", 8, Warnings)];
        assert_eq!(look("sameBranch", &build(5, "main", 10, Success), &page), Some(Warnings));
        assert_eq!(look("sameBranch", &build(5, "other", 10, Success), &page), None);
    }

    #[test]
    fn m10_topological_goes_by_revisions_and_says_nothing_of_outdated_ones() {
        // Number 3 was of a newer revision than 4, and ended first.
        let page = [
            build(4, "main", 7, Failure),
            build(3, "main", 9, Success),
            build(2, "main", 6, Warnings),
        ];
        assert_eq!(look("topological", &build(5, "main", 10, Failure), &page), Some(Success));
        assert_eq!(look("topological", &build(6, "main", 8, Failure), &page), None, "9 is newer");
        assert_eq!(look("topological", &build(7, "main", 7, Failure), &page[..1]), Some(Failure));
        assert_eq!(look("topological", &build(5, "wip", 10, Failure), &page), None);
        // Builds of the newest are ordered by their requests, among themselves.
        let page = [build(4, "main", 0, Warnings), build(3, "main", 5, Success)];
        assert_eq!(look("topological", &build(5, "main", 0, Failure), &page), Some(Warnings));
        let mut again = build(5, "main", 5, Failure);
        again.request = RequestId(3);
        assert_eq!(look("topological", &again, &page), None, "its own first try");
    }

    #[test]
    fn m10_an_expression_chooses_among_earlier_builds() {
        let page = [
            build(4, "wip", 9, Failure),
            build(3, "main", 8, Warnings),
            build(2, "main", 7, Success),
        ];
        let of = |text: &str| look(text, &build(5, "main", 10, Failure), &page);
        assert_eq!(of("candidate.result != 'failure'"), Some(Warnings));
        assert_eq!(of("candidate.number < number - 2"), Some(Success));
        assert_eq!(of("false"), None);
        assert_eq!(of("candidate.nosuch == 1"), None, "one that fails finds none");
        let error = Previous::new(&PreviousBuild::Expression("candidat.result".into()));
        assert_eq!(error.unwrap_err().field, "spec.previousBuildGetter");
    }

    #[test]
    fn m10_builds_that_ended_later_are_not_looked_at() {
        let mut later = build(3, "main", 8, Warnings);
        later.complete_at = Some(Timestamp(1001));
        assert_eq!(look("sameBranch", &build(5, "main", 10, Success), &[later]), None);
    }
}
