//! What is read after a gap, and now and then in between: all above the keys known, from a
//! little below them, and all that was open.

use crate::{
    Client, ClientError,
    assembler::{Assembler, Observation},
    client::{Cursor, PAGE},
    raw::{RawBuild, RawBuildset, RawChange, RawRequest},
};
use model::{BuildId, Highest, RequestId};
use serde::de::DeserializeOwned;

/// How far below the highest key known a survey begins: masters commit out of order.
const OVERLAP: u64 = 50;
/// Most keys in one question.
const KEYS: usize = 50;

/// Where the reading of each collection stands.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    changes: Cursor,
    buildsets: Cursor,
    requests: Cursor,
    builds: Cursor,
}

/// A little below the highest key.
fn below(highest: u64) -> u64 {
    highest.saturating_sub(OVERLAP)
}

impl Survey {
    /// A survey of all above the keys known.
    pub(crate) fn above(highest: Highest) -> Self {
        Self {
            changes: Cursor::above("changes", "changeid", below(highest.change.0)),
            buildsets: Cursor::above("buildsets", "bsid", below(highest.buildset.0)),
            requests: Cursor::above("buildrequests", "buildrequestid", below(highest.request.0)),
            builds: Cursor::above("builds", "buildid", below(highest.build.0)),
        }
    }

    /// Whether all was read.
    pub(crate) fn is_done(&self) -> bool {
        [&self.changes, &self.buildsets, &self.requests, &self.builds].iter().all(|c| c.is_done())
    }

    /// The next page of each collection, in an order in which causes come before effects.
    pub(crate) async fn next(&mut self, client: &Client) -> Result<Vec<Observation>, ClientError> {
        let mut seen = Vec::new();
        let changes: Vec<RawChange> = self.changes.next(client, PAGE).await?;
        seen.extend(changes.into_iter().map(|raw| Observation::Change(Box::new(raw.into()))));
        let buildsets: Vec<RawBuildset> = self.buildsets.next(client, PAGE).await?;
        seen.extend(buildsets.into_iter().map(|raw| Observation::Buildset {
            buildset: Box::new(raw.into()),
            whole: false,
            frame: false,
        }));
        // A request is complete only when its builds are: it is read before them and told after them.
        let requests: Vec<RawRequest> = self.requests.next(client, PAGE).await?;
        let builds: Vec<RawBuild> = self.builds.next(client, PAGE).await?;
        seen.extend(builds.into_iter().map(build));
        seen.extend(requests.into_iter().map(|raw| Observation::Request(raw.into())));
        Ok(seen)
    }
}

fn build(raw: RawBuild) -> Observation {
    Observation::Build { build: Box::new(raw.into()), frame: false }
}

/// The rows of builds and requests that were open, by their keys.
pub(crate) async fn opened(
    client: &Client,
    builds: &[BuildId],
    requests: &[RequestId],
) -> Result<Vec<Observation>, ClientError> {
    let mut seen = Vec::new();
    for keys in builds.chunks(KEYS) {
        let rows: Vec<RawBuild> = client.many("builds", "buildid", keys, "").await?;
        seen.extend(rows.into_iter().map(build));
    }
    for keys in requests.chunks(KEYS) {
        let rows: Vec<RawRequest> =
            client.many("buildrequests", "buildrequestid", keys, "").await?;
        seen.extend(rows.into_iter().map(|raw| Observation::Request(raw.into())));
    }
    Ok(seen)
}

/// The keys that an empty journal begins at. They are read before what is open, so that
/// nothing falls between: a build that ends in the meantime is history.
pub(crate) async fn baseline(client: &Client) -> Result<Observation, ClientError> {
    let build = client.highest("builds", "buildid").await?;
    let change = client.highest("changes", "changeid").await?;
    let buildset = client.highest("buildsets", "bsid").await?;
    let request = client.highest("buildrequests", "buildrequestid").await?;
    let id = |b: &RawBuild| b.buildid;
    let open_builds = open(client, "builds", "buildid", id).await?.into_iter();
    let id = |r: &RawRequest| r.buildrequestid;
    let open_requests = open(client, "buildrequests", "buildrequestid", id).await?.into_iter();
    Ok(Observation::Baseline {
        build,
        change,
        buildset,
        request,
        open_builds: open_builds.filter(|id| *id <= build).map(BuildId).collect(),
        open_requests: open_requests.filter(|id| *id <= request).map(RequestId).collect(),
    })
}

async fn open<T: DeserializeOwned>(
    client: &Client,
    collection: &'static str,
    key: &'static str,
    id: impl Fn(&T) -> u64,
) -> Result<Vec<u64>, ClientError> {
    let mut cursor = Cursor::above(collection, key, 0).only("&complete=false");
    let mut ids = Vec::new();
    while !cursor.is_done() {
        let page: Vec<T> = cursor.next(client, PAGE).await?;
        ids.extend(page.iter().map(&id));
    }
    Ok(ids)
}

/// All that a slow reconciliation compares, for what no frame told.
pub(crate) async fn reconcile(
    client: Client,
    highest: Highest,
    builds: Vec<BuildId>,
    requests: Vec<RequestId>,
) -> Result<Vec<Observation>, ClientError> {
    let mut rows = Vec::new();
    let requests = opened(&client, &[], &requests).await?;
    let mut survey = Survey::above(highest);
    while !survey.is_done() {
        rows.extend(survey.next(&client).await?);
    }
    rows.extend(opened(&client, &builds, &[]).await?);
    rows.extend(requests);
    // Causes come first, but are read last: what waits for other reads meanwhile grows old.
    let mut seen = vec![client.meta().await?, client.builders().await?, client.workers().await?];
    seen.append(&mut rows);
    Ok(seen)
}

/// What is open at the beginning of a survey.
pub(crate) fn open_keys(assembler: &Assembler) -> (Vec<BuildId>, Vec<RequestId>) {
    (assembler.unfinished(), assembler.unfinished_requests())
}
