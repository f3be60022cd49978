//! Questions about the present and the past.

use super::{Remote, RemoteFollower, failure::Failure};
use crate::{
    BuildQuery, LogError, ReadError, Snapshot, SnapshotLimits, User,
    http::api::{
        Builds, Changes, ChangesQuery, Code, Info, Lines, LinesQuery, MSGPACK, Problem,
        SnapshotQuery, Users, UsersQuery,
    },
};
use master::LogChunk;
use model::{Build, BuildId, Change, ChangeId, LogId, Position};
use reqwest::{Method, header::ACCEPT};

impl Remote {
    /// Whose feed this is, and how it fares.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn info(&self) -> Result<Info, ReadError> {
        let info: Info = self.get(&["info"], &()).await?;
        self.inner.state.send_replace(info.state.clone());
        Ok(info)
    }

    /// The position of the newest record.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.info().await?.head)
    }

    /// See [`crate::Feed::snapshot`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn snapshot(&self, limits: SnapshotLimits) -> Result<Snapshot, ReadError> {
        let limits: SnapshotQuery = limits;
        let request = self.request(Method::GET, &["snapshot"]).query(&limits);
        let request = request.header(ACCEPT, MSGPACK).timeout(self.inner.options.timeout);
        let body = self.bytes(request).await?;
        // Large: not on a thread that others wait for.
        let read = tokio::task::spawn_blocking(move || rmp_serde::from_slice(&body)).await;
        let read = read.map_err(|error| Failure::lost(error.to_string()))?;
        Ok(read.map_err(|error| Failure::lost(format!("the snapshot: {error}")))?)
    }

    /// See [`crate::Feed::follow`].
    pub fn follow(&self, from: Position) -> RemoteFollower {
        RemoteFollower::new(self.clone(), Some(from))
    }

    /// See [`crate::Feed::subscribe`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn subscribe(
        &self,
        limits: SnapshotLimits,
    ) -> Result<(Snapshot, RemoteFollower), ReadError> {
        let mut follower = RemoteFollower::new(self.clone(), None);
        follower.connect().await?;
        let snapshot = self.snapshot(limits).await?;
        follower.skip_to(snapshot.position);
        Ok((snapshot, follower))
    }

    /// See [`crate::Feed::build`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, ReadError> {
        found(self.get(&["builds", &id.0.to_string()], &()).await)
    }

    /// See [`crate::Feed::builds`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn builds(&self, query: BuildQuery) -> Result<Vec<Build>, ReadError> {
        let answer: Builds = self.get(&["builds"], &query).await?;
        Ok(answer.builds)
    }

    /// See [`crate::Feed::change`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn change(&self, id: ChangeId) -> Result<Option<Change>, ReadError> {
        found(self.get(&["changes", &id.0.to_string()], &()).await)
    }

    /// See [`crate::Feed::changes`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(
        &self,
        below: Option<ChangeId>,
        limit: usize,
    ) -> Result<Vec<Change>, ReadError> {
        let query = ChangesQuery { below: below.map(|id| id.0), limit: Some(limit) };
        let answer: Changes = self.get(&["changes"], &query).await?;
        Ok(answer.changes)
    }

    /// See [`crate::Feed::users`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, ReadError> {
        let query = UsersQuery { after: after.map(str::to_owned), limit: Some(limit) };
        let answer: Users = self.get(&["users"], &query).await?;
        Ok(answer.users)
    }

    /// See [`crate::Feed::log`].
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn log(&self, log: LogId, first: u64, limit: u64) -> Result<LogChunk, LogError> {
        let query = LinesQuery { first, limit: Some(limit) };
        let lines: Lines = self.get(&["logs", &log.0.to_string()], &query).await?;
        Ok(LogChunk { first: lines.first, text: lines.text })
    }
}

/// An answer to a question for one thing, which may not be there.
fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Failure::Refused(Problem { code: Code::NotFound, .. })) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}
