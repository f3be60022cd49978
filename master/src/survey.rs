//! What is read after a gap, and now and then in between: all above the keys known, from a
//! little below them, and all that was open.

use crate::{
    Client, ClientError,
    assembler::{Assembler, Observation},
    client::PAGE,
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

#[derive(Clone, Debug)]
struct Cursor {
    after: u64,
    done: bool,
}

impl Cursor {
    fn below(highest: u64) -> Self {
        Self { after: highest.saturating_sub(OVERLAP), done: false }
    }

    /// The next page, if there may be one.
    async fn page<T: DeserializeOwned>(
        &mut self,
        client: &Client,
        collection: &str,
        key: &str,
        extra: &str,
        id: impl Fn(&T) -> u64,
    ) -> Result<Vec<T>, ClientError> {
        if self.done {
            return Ok(Vec::new());
        }
        let page: Vec<T> = client.page(collection, key, self.after, extra, PAGE).await?;
        let last = page.iter().map(id).max().unwrap_or(self.after);
        self.done = page.len() < PAGE || last <= self.after;
        self.after = last;
        Ok(page)
    }
}

impl Survey {
    /// A survey of all above the keys known.
    pub(crate) fn above(highest: Highest) -> Self {
        Self {
            changes: Cursor::below(highest.change.0),
            buildsets: Cursor::below(highest.buildset.0),
            requests: Cursor::below(highest.request.0),
            builds: Cursor::below(highest.build.0),
        }
    }

    /// Whether all was read.
    pub(crate) fn is_done(&self) -> bool {
        self.changes.done && self.buildsets.done && self.requests.done && self.builds.done
    }

    /// The next page of each collection, in an order in which causes come before effects.
    pub(crate) async fn next(&mut self, client: &Client) -> Result<Vec<Observation>, ClientError> {
        let mut seen = Vec::new();
        let changes: Vec<RawChange> = self
            .changes
            .page(client, "changes", "changeid", "", |c: &RawChange| c.changeid)
            .await?;
        seen.extend(changes.into_iter().map(|raw| Observation::Change(Box::new(raw.into()))));
        let id = |b: &RawBuildset| b.bsid;
        let buildsets = self.buildsets.page(client, "buildsets", "bsid", "", id).await?;
        seen.extend(buildsets.into_iter().map(|raw| Observation::Buildset {
            buildset: Box::new(raw.into()),
            whole: false,
            frame: false,
        }));
        // Builds before requests: a request is complete only when its builds are.
        let id = |b: &RawBuild| b.buildid;
        let builds: Vec<RawBuild> = self.builds.page(client, "builds", "buildid", "", id).await?;
        seen.extend(builds.into_iter().map(build));
        let id = |r: &RawRequest| r.buildrequestid;
        let requests =
            self.requests.page(client, "buildrequests", "buildrequestid", "", id).await?;
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
        let keys: Vec<String> = keys.iter().map(|id| format!("buildid={id}")).collect();
        let path = format!("api/v2/builds?{}&limit={KEYS}", keys.join("&"));
        let rows: Vec<RawBuild> = client.list(&path).await?;
        seen.extend(rows.into_iter().map(build));
    }
    for keys in requests.chunks(KEYS) {
        let keys: Vec<String> = keys.iter().map(|id| format!("buildrequestid={id}")).collect();
        let path = format!("api/v2/buildrequests?{}&limit={KEYS}", keys.join("&"));
        let rows: Vec<RawRequest> = client.list(&path).await?;
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
    collection: &str,
    key: &str,
    id: impl Fn(&T) -> u64,
) -> Result<Vec<u64>, ClientError> {
    let mut cursor = Cursor { after: 0, done: false };
    let mut ids = Vec::new();
    while !cursor.done {
        let page = cursor.page(client, collection, key, "&complete=false", &id).await?;
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
    let mut survey = Survey::above(highest);
    while !survey.is_done() {
        rows.extend(survey.next(&client).await?);
    }
    rows.extend(opened(&client, &builds, &requests).await?);
    // Causes come first, but are read last: what waits for other reads meanwhile grows old.
    let mut seen = vec![client.meta().await?, client.builders().await?, client.workers().await?];
    seen.append(&mut rows);
    Ok(seen)
}

/// What is open at the beginning of a survey.
pub(crate) fn open_keys(assembler: &Assembler) -> (Vec<BuildId>, Vec<RequestId>) {
    (assembler.unfinished(), assembler.unfinished_requests())
}
