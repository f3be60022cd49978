//! Builds as the view keeps them: slim, with shared names, and the full form packed.

use super::names::{Name, Names};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use model::{
    Build, BuildId, BuilderId, ChangeId, Log, LogId, LogKind, Outcome, Step, StepId, StepUrl,
    Timestamp, WorkerId,
};
use std::io::{Read, Write};

/// Most bytes of a build's full form; a packed one that would grow beyond is not believed.
const MAX_FULL: u64 = 64 << 20;

/// One build, as much as lists and the waterfall need. The rest: [`super::View::full`].
#[derive(Clone, Debug)]
pub struct BuildRow {
    /// Its key.
    pub id: BuildId,
    /// Its number on its builder.
    pub number: u64,
    /// Its builder.
    pub builder: BuilderId,
    /// Its worker's key and name.
    pub worker: Option<(WorkerId, Name)>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was done.
    pub complete_at: Option<Timestamp>,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// Outcome of the finished build before it, when it was journaled.
    pub previous: Option<Outcome>,
    /// `build successful`, `failed test`.
    pub text: Name,
    /// Why it was made.
    pub reason: Name,
    /// What it was made from, one for each codebase.
    pub stamps: Box<[StampRow]>,
    /// The revision it was built from (of the first codebase).
    pub revision: Option<Name>,
    /// The build property `project` (filter `project=`).
    pub project: Option<Name>,
    /// Its changes, oldest first; look them up with [`super::View::change`].
    pub changes: Box<[ChangeId]>,
    /// Authors of its changes and patches, unique, sorted.
    pub authors: Box<[Name]>,
    /// Committers of its changes, unique.
    pub committers: Box<[Name]>,
    /// The property `tests-failed`, where a build sets it.
    pub tests_failed: u32,
    /// Steps in the order of their numbers, hidden ones included.
    pub steps: Box<[StepRow]>,
    /// Deflated MessagePack of the [`Build`]; empty while it runs.
    full: Box<[u8]>,
}

/// A source stamp of a build.
#[derive(Clone, Debug)]
pub struct StampRow {
    /// Codebase; `""` is the default.
    pub codebase: Name,
    /// Branch; `None` is the trunk.
    pub branch: Option<Name>,
    /// Requested revision.
    pub revision: Option<Name>,
    /// Repository.
    pub repository: Name,
    /// Project.
    pub project: Name,
    /// Whether a patch was applied.
    pub patched: bool,
}

/// A step of a build.
#[derive(Clone, Debug)]
pub struct StepRow {
    /// Its key.
    pub id: StepId,
    /// Its number, from 0.
    pub number: u64,
    /// Its name.
    pub name: Name,
    /// What it does or did.
    pub text: Name,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was done.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Whether pages leave it out once it is done.
    pub hidden: bool,
    /// Its logs.
    pub logs: Box<[LogRow]>,
    /// Links that it added.
    pub urls: Box<[StepUrl]>,
}

/// A log of a step.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Its key.
    pub id: LogId,
    /// Its name: `stdio`.
    pub name: Name,
    /// What its lines are.
    pub kind: LogKind,
    /// Whether more may come.
    pub complete: bool,
    /// Lines so far.
    pub lines: u64,
}

impl BuildRow {
    /// The slim form of a build; a finished one carries its full form packed.
    pub(super) fn new(build: &Build, names: &mut Names) -> Self {
        let full = if build.outcome.is_some() { pack(build) } else { Box::default() };
        Self { full, ..Self::slim(build, names) }
    }

    /// The slim form alone.
    fn slim(build: &Build, names: &mut Names) -> Self {
        let committers = build.changes.iter().filter_map(|c| c.committer.as_deref());
        let mut committers: Vec<&str> = committers.collect();
        committers.sort_unstable();
        committers.dedup();
        let codebase = build.buildset.source_stamps.first().map_or("", |s| s.codebase.as_str());
        let stamps = build.buildset.source_stamps.iter().map(|s| StampRow {
            codebase: names.get(&s.codebase),
            branch: s.branch.as_deref().map(|b| names.get(b)),
            revision: s.revision.as_deref().map(|r| names.get(r)),
            repository: names.get(&s.repository),
            project: names.get(&s.project),
            patched: s.patch.is_some(),
        });
        let failed = build.properties.get("tests-failed").and_then(serde_json::Value::as_u64);
        Self {
            id: build.id,
            number: build.number,
            builder: build.builder.id,
            started_at: build.started_at,
            complete_at: build.complete_at,
            outcome: build.outcome,
            previous: build.previous,
            stamps: stamps.collect(),
            worker: build.worker.as_ref().map(|w| (w.id, names.get(&w.name))),
            text: names.get(&build.text),
            reason: names.get(&build.buildset.reason),
            revision: build.got_revision(codebase).map(|r| names.get(r)),
            project: build.properties.text("project").map(|p| names.get(&p)),
            changes: build.changes.iter().map(|c| c.id).collect(),
            authors: build.blamelist().into_iter().map(|a| names.get(a)).collect(),
            committers: committers.into_iter().map(|c| names.get(c)).collect(),
            tests_failed: failed.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            steps: build.steps.iter().map(|s| StepRow::new(s, names)).collect(),
            full: Box::default(),
        }
    }

    /// The packed full form, if the build is finished.
    pub(super) fn unpack(&self) -> Option<Build> {
        let mut plain = Vec::new();
        DeflateDecoder::new(&*self.full).take(MAX_FULL).read_to_end(&mut plain).ok()?;
        rmp_serde::from_slice(&plain).ok()
    }

    /// Bytes of the packed full form.
    pub fn packed_len(&self) -> usize {
        self.full.len()
    }

    /// Steps that a page shows: hidden ones only while they run.
    pub fn shown_steps(&self) -> impl DoubleEndedIterator<Item = &StepRow> {
        self.steps.iter().filter(|s| !(s.hidden && s.complete_at.is_some()))
    }

    /// The step that made the build's outcome: the first one with it.
    pub fn culprit(&self) -> Option<&StepRow> {
        let outcome = self.outcome.filter(|o| *o != Outcome::Success)?;
        self.steps.iter().find(|s| s.outcome == Some(outcome))
    }

    /// The last step that began and is not done.
    pub fn running_step(&self) -> Option<&StepRow> {
        self.steps.iter().rev().find(|s| s.started_at.is_some() && s.complete_at.is_none())
    }

    /// Whether the build is done and failed or broke.
    pub fn is_bad(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Failure | Outcome::Exception))
    }

    /// The branch of the first source stamp; `None` is the trunk.
    pub fn branch(&self) -> Option<&str> {
        self.stamps.first().and_then(|s| s.branch.as_deref())
    }

    /// Seconds that the build took, or has taken until `now`.
    pub fn seconds(&self, now: Timestamp) -> u64 {
        self.complete_at.unwrap_or(now).seconds_since(self.started_at)
    }
}

impl StepRow {
    pub(super) fn new(step: &Step, names: &mut Names) -> Self {
        let log = |log: &Log, names: &mut Names| LogRow {
            id: log.id,
            name: names.get(&log.name),
            kind: log.kind,
            complete: log.complete,
            lines: log.lines,
        };
        Self {
            id: step.id,
            number: step.number,
            name: names.get(&step.name),
            text: names.get(&step.text),
            started_at: step.started_at,
            complete_at: step.complete_at,
            outcome: step.outcome,
            hidden: step.hidden,
            logs: step.logs.iter().map(|l| log(l, names)).collect(),
            urls: step.urls.iter().cloned().collect(),
        }
    }

    /// Seconds that the step took, or has taken until `now`; 0 for one that never began.
    pub fn seconds(&self, now: Timestamp) -> u64 {
        self.started_at.map_or(0, |start| self.complete_at.unwrap_or(now).seconds_since(start))
    }
}

/// The slim forms of builds that are not kept in memory, without their full ones.
pub fn slim<'a>(builds: impl IntoIterator<Item = &'a Build>) -> Vec<BuildRow> {
    let mut names = Names::default();
    builds.into_iter().map(|build| BuildRow::slim(build, &mut names)).collect()
}

/// Packs a build. Writing to memory does not fail; were it to, the build page would say
/// that the build is not kept, and no other page would miss anything.
fn pack(build: &Build) -> Box<[u8]> {
    let packed = || -> Option<Vec<u8>> {
        let plain = rmp_serde::to_vec(build).ok()?;
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::new(3));
        deflate.write_all(&plain).ok()?;
        deflate.finish().ok()
    };
    packed().unwrap_or_default().into_boxed_slice()
}
