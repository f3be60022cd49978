//! Loads the past into an empty journal: newest builds first, gently, beside what is live.

use crate::{
    Client, ClientError,
    assembler::{Observation, cut, heads},
    client::{Cursor, PAGE},
    raw::{RawBuild, RawChange},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Build, BuildId, BuilderId, Buildset, BuildsetId};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Builds whose steps and changes are read at the same time.
const AT_ONCE: usize = 2;
/// Builds whose rows are asked for together, and that are given on at once.
const BATCH: usize = 20;
/// Most buildsets remembered while loading.
const MAX_SETS: usize = 500;

/// Reads finished builds below a key, and changes up to one, and gives them on.
pub(crate) async fn load(
    client: Client,
    below: BuildId,
    change: u64,
    most: usize,
    sink: mpsc::Sender<Observation>,
) -> Result<(), ClientError> {
    let rows = list(&client, below, most).await?;
    let mut sets = Sets::default();
    let mut loader = Loader::default();
    let mut first = true;
    for rows in rows.chunks(BATCH) {
        let ids: Vec<BuildId> = rows.iter().map(|row| row.id).collect();
        let whole = read(&client, &ids, &mut sets).await?;
        let builds = whole.into_iter().filter_map(|build| loader.take(build)).collect();
        let below = loader.resume_below(rows.last().map_or(below, |row| row.id));
        if sink.send(Observation::History { builds, below }).await.is_err() {
            return Ok(());
        }
        if std::mem::take(&mut first) {
            changes(&client, change, most, &sink).await?;
        }
    }
    let rest = loader.rest(&client).await?;
    let _ = sink.send(Observation::History { builds: rest, below: BuildId(0) }).await;
    Ok(())
}

/// The builds of these rows, newest first, with all that belongs to them.
pub(crate) async fn whole_of(client: &Client, rows: Vec<Build>) -> Result<Vec<Build>, ClientError> {
    let (mut sets, mut loader, mut builds) = (Sets::default(), Loader::default(), Vec::new());
    for rows in rows.chunks(BATCH) {
        let ids: Vec<BuildId> = rows.iter().map(|row| row.id).collect();
        let whole = read(client, &ids, &mut sets).await?;
        builds.extend(whole.into_iter().filter_map(|build| loader.take(build)));
    }
    builds.extend(loader.rest(client).await?);
    Ok(builds)
}

/// Own rows of finished builds below a key, newest first.
pub(crate) async fn list(
    client: &Client,
    below: BuildId,
    most: usize,
) -> Result<Vec<Build>, ClientError> {
    let mut cursor = Cursor::below("builds", "buildid", below.0).only("&complete=true");
    let mut rows = Vec::new();
    while rows.len() < most && !cursor.is_done() {
        let page: Vec<RawBuild> = cursor.next(client, most - rows.len()).await?;
        rows.extend(page.into_iter().map(Build::from).filter(|b| b.outcome.is_some()));
    }
    rows.truncate(most);
    Ok(rows)
}

/// Buildsets that were read: builds of one are close to each other.
#[derive(Default)]
struct Sets(BTreeMap<BuildsetId, Buildset>);

impl Sets {
    fn insert(&mut self, id: BuildsetId, buildset: Buildset) {
        if self.0.len() >= MAX_SETS {
            // Loading goes to older ones.
            self.0.pop_last();
        }
        self.0.insert(id, buildset);
    }
}

/// Builds of these keys with all that belongs to them, in their order; those that have gone are left out.
async fn read(
    client: &Client,
    ids: &[BuildId],
    sets: &mut Sets,
) -> Result<Vec<Build>, ClientError> {
    let builds = match rows(client, ids, sets).await {
        // One row that the master cannot give must not hide the others.
        Err(
            ClientError::Garbage(_) | ClientError::Status { .. } | ClientError::TooLarge { .. },
        ) => {
            let mut builds = Vec::with_capacity(ids.len());
            for id in ids {
                builds.extend(single(rows(client, &[*id], sets).await)?.into_iter().flatten());
            }
            builds
        }
        other => other?,
    };
    stream::iter(builds)
        .map(|build| async { single(whole(client, build).await) })
        .buffered(AT_ONCE)
        .try_filter_map(|build| async move { Ok(build) })
        .try_collect()
        .await
}

/// What could be read; `None` of what the master does not give, which must not end the rest.
fn single<T>(read: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match read {
        Err(ClientError::NotFound(_) | ClientError::Garbage(_) | ClientError::Status { .. }) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Builds with their properties and buildsets, in the order of their keys in `ids`: what the master gives
/// of many at once is one request for all.
async fn rows(
    client: &Client,
    ids: &[BuildId],
    sets: &mut Sets,
) -> Result<Vec<Build>, ClientError> {
    let mut builds = client.builds(ids).await?;
    let requests = client.buildsets_of(builds.values().map(|build| build.request)).await?;
    let wanted: BTreeSet<BuildsetId> = requests.values().copied().collect();
    let missing: Vec<BuildsetId> =
        wanted.iter().copied().filter(|id| !sets.0.contains_key(id)).collect();
    let mut own: BTreeMap<BuildsetId, Buildset> =
        wanted.iter().filter_map(|id| Some((*id, sets.0.get(id)?.clone()))).collect();
    for (id, buildset) in client.buildsets(&missing).await? {
        sets.insert(id, buildset.clone());
        own.insert(id, buildset);
    }
    let mut found = Vec::with_capacity(builds.len());
    for id in ids {
        let Some(mut build) = builds.remove(id) else { continue };
        let buildset = requests.get(&build.request).and_then(|id| own.get(id));
        build.buildset = buildset.cloned().unwrap_or_default();
        found.push(build);
    }
    Ok(found)
}

/// The build with its steps and changes.
async fn whole(client: &Client, mut build: Build) -> Result<Build, ClientError> {
    build.steps = client.steps(build.id).await?;
    build.changes = match client.changes(build.id).await {
        Err(ClientError::NotFound(_)) => Vec::new(),
        other => other?,
    };
    Ok(build)
}

/// Changes up to a key, newest first.
async fn changes(
    client: &Client,
    upto: u64,
    most: usize,
    sink: &mpsc::Sender<Observation>,
) -> Result<(), ClientError> {
    let mut cursor = Cursor::below("changes", "changeid", upto.saturating_add(1));
    let mut count = 0;
    while count < most && !cursor.is_done() {
        let page: Vec<RawChange> = cursor.next(client, PAGE).await?;
        count += page.len();
        let changes = page.into_iter().map(Into::into).collect();
        if sink.send(Observation::HistoryChanges(changes)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Holds each builder's oldest build back until the one before it is read: only then are
/// the outcome before it and where its changes begin known.
#[derive(Default)]
struct Loader {
    held: BTreeMap<BuilderId, Build>,
}

impl Loader {
    /// Takes a build older than all before; gives on the one that it comes before.
    fn take(&mut self, build: Build) -> Option<Build> {
        let (outcome, heads) = (build.outcome, heads(&build.changes));
        let mut newer = self.held.insert(build.builder.id, build)?;
        newer.previous = outcome;
        newer.changes = cut(std::mem::take(&mut newer.changes), std::iter::once(&heads));
        Some(newer)
    }

    /// Each builder's oldest build, for which the master is asked what was before.
    async fn rest(&mut self, client: &Client) -> Result<Vec<Build>, ClientError> {
        let mut rest = Vec::new();
        for (builder, mut build) in std::mem::take(&mut self.held) {
            build.previous = client.outcome_before(builder.0, build.number).await?;
            rest.push(build);
        }
        rest.sort_by_key(|build| std::cmp::Reverse(build.id));
        Ok(rest)
    }

    /// Below which key loading goes on if it is interrupted after `read`.
    fn resume_below(&self, read: BuildId) -> BuildId {
        let held = self.held.values().map(|build| build.id.0 + 1).max();
        BuildId(held.unwrap_or(read.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Loader;
    use model::{Build, BuildId, BuilderRef, Change, ChangeId, Outcome};

    fn build(id: u64, builder: u64, outcome: Outcome, changes: &[u64]) -> Build {
        let change = |id: &u64| Change { id: ChangeId(*id), ..Change::default() };
        Build {
            id: BuildId(id),
            builder: BuilderRef { id: model::BuilderId(builder), ..BuilderRef::default() },
            outcome: Some(outcome),
            changes: changes.iter().map(change).collect(),
            ..Build::default()
        }
    }

    #[test]
    fn history_has_the_outcome_before_and_changes_since() {
        let mut loader = Loader::default();
        assert!(loader.take(build(9, 1, Outcome::Success, &[3, 2])).is_none());
        assert!(loader.take(build(8, 2, Outcome::Success, &[2])).is_none());
        assert_eq!(loader.resume_below(BuildId(8)), BuildId(10));
        let newer = loader.take(build(7, 1, Outcome::Failure, &[2]));
        let newer = newer.map(|b| (b.id.0, b.previous, b.changes.len()));
        assert_eq!(newer, Some((9, Some(Outcome::Failure), 1)));
        assert_eq!(loader.resume_below(BuildId(7)), BuildId(9));
    }
}
