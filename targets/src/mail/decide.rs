//! Which finished builds are mailed about (M02).

use crds::{Mode, Modes};
use model::{Build, Outcome};

/// The modes that hold for a finished build; any of them makes a mail.
///
/// `change` and `problem` need a build before. A build that was skipped, is tried again or was
/// cancelled matches `change` only.
pub fn matching(modes: &Modes, build: &Build) -> Vec<Mode> {
    let Some(outcome) = build.outcome else { return Vec::new() };
    modes.list().iter().copied().filter(|mode| holds(*mode, outcome, build.previous)).collect()
}

/// Whether some mode could hold, whatever the build before was.
pub fn possible(modes: &Modes, build: &Build) -> bool {
    let Some(outcome) = build.outcome else { return false };
    let any = |previous| modes.list().iter().any(|mode| holds(*mode, outcome, previous));
    any(None) || Outcome::ALL.into_iter().any(|previous| any(Some(previous)))
}

fn holds(mode: Mode, outcome: Outcome, previous: Option<Outcome>) -> bool {
    match mode {
        Mode::Change => previous.is_some_and(|previous| previous != outcome),
        Mode::Failing => outcome == Outcome::Failure,
        Mode::Passing => outcome == Outcome::Success,
        Mode::Problem => {
            outcome == Outcome::Failure
                && previous.is_some_and(|previous| previous != Outcome::Failure)
        }
        Mode::Warnings => outcome == Outcome::Warnings,
        Mode::Exception => outcome == Outcome::Exception,
    }
}

#[cfg(test)]
mod tests {
    use super::matching;
    use crds::{Mode, ModeShortcut, Modes};
    use model::{
        Build,
        Outcome::{self, Cancelled, Exception, Failure, Retry, Skipped, Success, Warnings},
    };

    fn build(previous: Option<Outcome>, outcome: Outcome) -> Build {
        Build { previous, outcome: Some(outcome), ..Build::default() }
    }

    #[test]
    fn m02_each_transition_matches_the_modes_that_0_8_was_seen_to_match() {
        use Mode::{Change, Failing, Passing, Problem};
        let all = Modes::Shortcut(ModeShortcut::All);
        for (previous, outcome, expected) in [
            (None, Success, vec![Passing]),
            (None, Failure, vec![Failing]),
            (Some(Success), Success, vec![Passing]),
            (Some(Success), Failure, vec![Change, Failing, Problem]),
            (Some(Failure), Failure, vec![Failing]),
            (Some(Failure), Success, vec![Change, Passing]),
            (Some(Failure), Warnings, vec![Change, Mode::Warnings]),
            (Some(Warnings), Failure, vec![Change, Failing, Problem]),
            (Some(Failure), Exception, vec![Change, Mode::Exception]),
            (Some(Exception), Exception, vec![Mode::Exception]),
            (Some(Exception), Success, vec![Change, Passing]),
            (Some(Exception), Failure, vec![Change, Failing, Problem]),
            (Some(Success), Warnings, vec![Change, Mode::Warnings]),
            (Some(Warnings), Warnings, vec![Mode::Warnings]),
            (None, Retry, vec![]),
            (Some(Success), Retry, vec![Change]),
            (Some(Retry), Retry, vec![]),
            (Some(Success), Skipped, vec![Change]),
            (Some(Success), Cancelled, vec![Change]),
            (Some(Cancelled), Failure, vec![Change, Failing, Problem]),
        ] {
            assert_eq!(
                matching(&all, &build(previous, outcome)),
                expected,
                "{previous:?} {outcome}"
            );
        }
    }

    #[test]
    fn m02_problem_means_failed_after_not_failed() {
        let problem = Modes::List(vec![Mode::Problem]);
        for previous in Outcome::ALL {
            let matched = !matching(&problem, &build(Some(previous), Failure)).is_empty();
            assert_eq!(matched, previous != Failure, "{previous}");
        }
        assert!(matching(&problem, &build(None, Failure)).is_empty());
    }

    #[test]
    fn m02_the_default_is_failing_passing_and_warnings() {
        let default = Modes::default();
        let mailed: Vec<Outcome> = Outcome::ALL
            .into_iter()
            .filter(|outcome| !matching(&default, &build(Some(Success), *outcome)).is_empty())
            .collect();
        assert_eq!(mailed, [Success, Warnings, Failure]);
    }

    #[test]
    fn a_build_that_runs_matches_nothing() {
        let all = Modes::Shortcut(ModeShortcut::All);
        assert!(matching(&all, &Build { previous: Some(Success), ..Build::default() }).is_empty());
    }
}
