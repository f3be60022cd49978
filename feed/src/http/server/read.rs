//! Questions about the present and the past.

use super::{
    State,
    answer::{Params, Segments, json, not_found},
    auth::Caller,
    held,
};
use crate::{
    Snapshot,
    http::api::{
        Builds, BuildsQuery, Changes, ChangesQuery, Code, Info, Lines, LinesQuery, MSGPACK,
        Problem, SnapshotQuery, Users, UsersQuery,
    },
};
use axum::{
    Extension, Json,
    extract::State as Shared,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use model::{Build, BuildId, Change, ChangeId, LogId};
use std::sync::Arc;

/// Most builds and changes in one snapshot.
const SNAPSHOT_MOST: usize = 5_000;
/// Lines of a log in one answer, changes and users, if no limit is given.
const LINES: u64 = 10_000;
const CHANGES: usize = 500;
const USERS: usize = 500;

pub(super) async fn info(Shared(state): Shared<State>) -> Result<Json<Info>, Problem> {
    let feed = state.feed();
    let counts = feed.counts().await?;
    let about = state.inner.about.clone();
    Ok(Json(Info {
        master_uid: feed.master_uid().to_owned(),
        namespace: about.namespace,
        name: about.name,
        links: about.links,
        head: feed.head(),
        state: feed.state().borrow().clone(),
        journal_lost: feed.journal_lost().map(str::to_owned),
        journal_lost_reason: feed.loss(),
        problem: state.problem(),
        builders: counts.builders,
        running: counts.running,
        release: about.release,
    }))
}

pub(super) async fn snapshot(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Params(mut limits): Params<SnapshotQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    limits.builds_total = limits.builds_total.min(SNAPSHOT_MOST);
    limits.builds_per_builder = limits.builds_per_builder.min(SNAPSHOT_MOST);
    limits.changes = limits.changes.min(SNAPSHOT_MOST);
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let packed = accepts.flat_map(|value| value.split(',')).any(|range| {
        range.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(MSGPACK))
    });
    // The reader's own first: one that is slow keeps others from none.
    let kept = Arc::clone(caller.permit.snapshots()).acquire_owned().await;
    let making = state.inner.snapshots.acquire().await;
    let snapshot = state.feed().snapshot(limits).await?;
    let encoded = tokio::task::spawn_blocking(move || encode(&snapshot, packed)).await;
    drop(making);
    let body = encoded
        .map_err(|error| error.to_string())
        .flatten()
        .map_err(|text| Problem::new(Code::Unavailable, format!("the snapshot: {text}")))?;
    let media = if packed { MSGPACK } else { "application/json" };
    let headers = [(header::CONTENT_TYPE, media), (header::VARY, "Accept")];
    Ok((headers, held::with(body, kept)).into_response())
}

fn encode(snapshot: &Snapshot, packed: bool) -> Result<Vec<u8>, String> {
    if packed {
        rmp_serde::to_vec_named(snapshot).map_err(|error| error.to_string())
    } else {
        serde_json::to_vec(snapshot).map_err(|error| error.to_string())
    }
}

pub(super) async fn builds(
    Shared(state): Shared<State>,
    Params(query): Params<BuildsQuery>,
) -> Result<Json<Builds>, Problem> {
    Ok(Json(Builds { builds: state.feed().builds(query).await? }))
}

pub(super) async fn build(
    Shared(state): Shared<State>,
    Segments(id): Segments<u64>,
) -> Result<Json<Build>, Problem> {
    let build = state.feed().build(BuildId(id)).await?;
    build.map(Json).ok_or_else(|| not_found(format!("finished build with the key {id}")))
}

pub(super) async fn changes(
    Shared(state): Shared<State>,
    Params(ChangesQuery { below, limit }): Params<ChangesQuery>,
) -> Result<Json<Changes>, Problem> {
    let limit = limit.unwrap_or(CHANGES);
    Ok(Json(Changes { changes: state.feed().changes(below.map(ChangeId), limit).await? }))
}

pub(super) async fn change(
    Shared(state): Shared<State>,
    Segments(id): Segments<u64>,
) -> Result<Json<Change>, Problem> {
    let change = state.feed().change(ChangeId(id)).await?;
    change.map(Json).ok_or_else(|| not_found(format!("change {id}")))
}

pub(super) async fn users(
    Shared(state): Shared<State>,
    Params(UsersQuery { after, limit }): Params<UsersQuery>,
) -> Result<Json<Users>, Problem> {
    let limit = limit.unwrap_or(USERS);
    Ok(Json(Users { users: state.feed().users(after.as_deref(), limit).await? }))
}

pub(super) async fn log(
    Shared(state): Shared<State>,
    Segments(id): Segments<u64>,
    Params(LinesQuery { first, limit }): Params<LinesQuery>,
) -> Result<Response, Problem> {
    let limit = limit.unwrap_or(LINES).min(LINES);
    let chunk = state.feed().log(LogId(id), first, limit).await?;
    let lines = Lines { first: chunk.first, text: chunk.text };
    let body = serde_json::to_vec(&lines);
    body.map(json).map_err(|error| Problem::new(Code::Unavailable, error.to_string()))
}
