//! Which events are told, and what a result counts as (G05).

use crds::{GitHubState, GitHubStates, GitHubStatusSpec};
use model::{Build, Event, Outcome, Selection};

/// Which builds are told of.
#[derive(Debug)]
pub struct Choice(Selection);

impl Choice {
    pub fn new(spec: &GitHubStatusSpec) -> Self {
        Self(spec.selection())
    }

    pub fn selects(&self, build: &Build) -> bool {
        self.0.build(build)
    }

    /// Whether an event is told: the start and the end of a selected build.
    pub fn wants(&self, event: &Event) -> bool {
        match event {
            Event::BuildStarted { build } | Event::BuildFinished { build } => self.selects(build),
            _ => false,
        }
    }
}

/// The state of a commit status, in GitHub's word. What is neither success nor failure is an error,
/// as in 0.8, unless the settings say otherwise.
pub fn state(outcome: Option<Outcome>, states: &GitHubStates) -> &'static str {
    let Some(outcome) = outcome else { return "pending" };
    match states.of(outcome) {
        Some(GitHubState::Success) => "success",
        Some(GitHubState::Failure) => "failure",
        Some(GitHubState::Error) | None => "error",
    }
}

/// The conclusion of a check run, in GitHub's word.
pub fn conclusion(outcome: Outcome, states: &GitHubStates) -> &'static str {
    match (states.of(outcome), outcome) {
        (Some(GitHubState::Success), _) => "success",
        (Some(GitHubState::Failure | GitHubState::Error), _) => "failure",
        (None, Outcome::Warnings) => "neutral",
        (None, Outcome::Skipped) => "skipped",
        // The build that tries again has a check run of its own.
        (None, Outcome::Retry | Outcome::Cancelled) => "cancelled",
        (None, Outcome::Exception | Outcome::Success | Outcome::Failure) => "failure",
    }
}

#[cfg(test)]
mod tests {
    use super::{conclusion, state};
    use crds::{GitHubState, GitHubStates};
    use model::Outcome::{self, Cancelled, Exception, Failure, Retry, Skipped, Success, Warnings};

    #[test]
    fn g05_pending_success_and_failure_are_themselves_and_all_else_is_an_error_as_in_0_8() {
        let usual = GitHubStates::default();
        assert_eq!(state(None, &usual), "pending");
        for (outcome, expected) in [
            (Success, "success"),
            (Failure, "failure"),
            (Warnings, "error"),
            (Skipped, "error"),
            (Exception, "error"),
            (Retry, "error"),
            (Cancelled, "error"),
        ] {
            assert_eq!(state(Some(outcome), &usual), expected, "{outcome}");
        }
    }

    #[test]
    fn g05_no_build_that_ended_is_pending_whatever_is_set() {
        for given in [GitHubState::Success, GitHubState::Failure, GitHubState::Error] {
            let all = GitHubStates {
                warnings: Some(given),
                skipped: Some(given),
                exception: Some(given),
                retry: Some(given),
                cancelled: Some(given),
            };
            for outcome in Outcome::ALL {
                assert_ne!(state(Some(outcome), &all), "pending", "{outcome}");
            }
        }
    }

    #[test]
    fn g05_a_result_counts_as_what_is_set_for_it() {
        let lenient =
            GitHubStates { warnings: Some(GitHubState::Success), ..GitHubStates::default() };
        assert_eq!(state(Some(Warnings), &lenient), "success");
        assert_eq!(state(Some(Skipped), &lenient), "error");
        assert_eq!(conclusion(Warnings, &lenient), "success");
        let strict =
            GitHubStates { cancelled: Some(GitHubState::Error), ..GitHubStates::default() };
        assert_eq!(state(Some(Cancelled), &strict), "error");
        assert_eq!(conclusion(Cancelled, &strict), "failure");
    }

    #[test]
    fn check_runs_conclude_as_githubs_words_come_closest() {
        let usual = GitHubStates::default();
        for (outcome, expected) in [
            (Success, "success"),
            (Warnings, "neutral"),
            (Failure, "failure"),
            (Skipped, "skipped"),
            (Exception, "failure"),
            (Retry, "cancelled"),
            (Cancelled, "cancelled"),
        ] {
            assert_eq!(conclusion(outcome, &usual), expected, "{outcome}");
        }
    }
}
