//! A builder with its builds.

use super::rows::BuildRow;
use model::{BuildId, Builder, Outcome, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// How many finished builds are looked at for an estimate, at most.
const LOOKED_AT: usize = 40;
/// How many successful ones make the estimate.
const SAMPLES: usize = 9;

/// A builder and its builds in memory.
#[derive(Clone, Debug, Default)]
pub struct BuilderView {
    /// What the configuration says.
    pub builder: Builder,
    pub(super) builds: BTreeMap<u64, Arc<BuildRow>>,
    /// How many of its builds run.
    pub(super) open: usize,
    /// Number and key of the finished build with the highest number.
    pub(super) newest: Option<(u64, BuildId)>,
}

/// What a builder does (0.8's "current activity").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// None of its workers is connected.
    Offline,
    /// At least one build runs.
    Building,
    /// Nothing runs.
    Idle,
}

impl BuilderView {
    /// Its name.
    pub fn name(&self) -> &str {
        self.builder.name.as_str()
    }

    /// All builds in memory, highest number first, running ones included.
    pub fn builds(&self) -> impl DoubleEndedIterator<Item = &Arc<BuildRow>> + Clone {
        self.builds.values().rev()
    }

    /// Finished builds, highest number first.
    pub fn finished(&self) -> impl DoubleEndedIterator<Item = &Arc<BuildRow>> + Clone {
        self.builds().filter(|b| b.outcome.is_some())
    }

    /// Running builds, highest number first.
    pub fn running(&self) -> impl Iterator<Item = &Arc<BuildRow>> {
        self.builds().filter(|b| b.outcome.is_none()).take(self.open)
    }

    /// One build by its number.
    pub fn build(&self, number: u64) -> Option<&Arc<BuildRow>> {
        self.builds.get(&number)
    }

    /// The finished build with the highest number.
    pub fn last(&self) -> Option<&Arc<BuildRow>> {
        self.finished().next()
    }

    /// The finished build before `number`.
    pub fn before(&self, number: u64) -> Option<&Arc<BuildRow>> {
        self.builds.range(..number).rev().map(|(_, b)| b).find(|b| b.outcome.is_some())
    }

    /// Whether the last finished build failed or broke.
    pub fn is_failing(&self) -> bool {
        self.last().is_some_and(|b| b.is_bad())
    }

    /// The builds of the present row of failures, newest first: down to the last build that
    /// passed (with or without warnings). Retried, stopped and skipped builds neither end nor
    /// join it.
    pub fn streak(&self) -> Vec<&Arc<BuildRow>> {
        self.finished()
            .take_while(|b| !matches!(b.outcome, Some(Outcome::Success | Outcome::Warnings)))
            .filter(|b| b.is_bad())
            .collect()
    }

    /// How long a build takes, in seconds: the median of the recent successful ones.
    pub fn usual_seconds(&self) -> Option<u64> {
        let good =
            |b: &&Arc<BuildRow>| matches!(b.outcome, Some(Outcome::Success | Outcome::Warnings));
        let seconds = |b: &Arc<BuildRow>| b.complete_at.map(|end| end.seconds_since(b.started_at));
        let recent = self.finished().take(LOOKED_AT).filter(good);
        let mut times: Vec<u64> = recent.filter_map(seconds).take(SAMPLES).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// When a running build will be done, going by the median of recent ones: seconds from
    /// now, negative when it is overdue; `None` where nothing is known.
    pub fn eta(&self, build: &BuildRow, now: Timestamp) -> Option<i64> {
        let usual = i64::try_from(self.usual_seconds()?).ok()?;
        let taken = i64::try_from(build.seconds(now)).ok()?;
        build.outcome.is_none().then_some(usual - taken)
    }

    /// How long a step of this name takes, in seconds: the median of recent successful builds.
    pub fn usual_step_seconds(&self, name: &str) -> Option<u64> {
        let recent = self.finished().take(LOOKED_AT).filter_map(|b| {
            let step = b.steps.iter().find(|s| &*s.name == name)?;
            (step.outcome == Some(Outcome::Success)).then_some(())?;
            Some(step.complete_at?.seconds_since(step.started_at?))
        });
        let mut times: Vec<u64> = recent.take(SAMPLES).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }
}
