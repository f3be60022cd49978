//! Lists, page by page, by key.
//!
//! `meta.total` says nothing of builds, changes, buildsets and requests, offsets shift while
//! rows come, and a misspelt operator is ignored so that the whole table comes. So: rows with
//! a key above the last one, in its order, until a page is short.

use super::Client;
use crate::{ClientError, raw};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::fmt::Display;

/// Most rows of a page.
pub(crate) const PAGE: usize = 200;
/// By how much a page shrinks that is too large for one answer; after each that is not, the next is
/// twice as long again.
const SHRINK: usize = 8;

/// Where the reading of a list stands.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    collection: &'static str,
    key: &'static str,
    /// What is wanted besides: `&complete=true`.
    filter: &'static str,
    /// Whether it goes to lower keys.
    down: bool,
    last: u64,
    limit: usize,
    done: bool,
}

impl Cursor {
    /// From the first key above one, up.
    pub(crate) fn above(collection: &'static str, key: &'static str, last: u64) -> Self {
        Self { collection, key, filter: "", down: false, last, limit: PAGE, done: false }
    }

    /// From the first key below one, down.
    pub(crate) fn below(collection: &'static str, key: &'static str, last: u64) -> Self {
        Self { down: true, ..Self::above(collection, key, last) }
    }

    /// Of the rows only some.
    pub(crate) fn only(self, filter: &'static str) -> Self {
        Self { filter, ..self }
    }

    /// Whether all was read.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The next rows, at most `most`; fewer where they are large, or where some are left out.
    pub(crate) async fn next<T: DeserializeOwned>(
        &mut self,
        client: &Client,
        most: usize,
    ) -> Result<Vec<T>, ClientError> {
        while !self.done {
            let limit = self.limit.min(most).max(1);
            let page = match client.page(&self.path(limit), self.key).await {
                Err(ClientError::TooLarge { .. }) if limit > 1 => {
                    self.limit = (limit / SHRINK).max(1);
                    continue;
                }
                Err(error @ ClientError::TooLarge { .. }) => self.beyond(client, &error).await?,
                other => other?,
            };
            let moved = |id: &&u64| if self.down { **id < self.last } else { **id > self.last };
            let keys = page.keys.iter().filter(moved);
            let last = if self.down { keys.min() } else { keys.max() };
            // A master that ignores the key would send the same page for ever.
            self.done = page.count < limit || last.is_none();
            self.last = last.copied().unwrap_or(self.last);
            self.limit = self.limit.saturating_mul(2).min(PAGE);
            return Ok(page.rows);
        }
        Ok(Vec::new())
    }

    /// The next row, left out since it alone is too large: all but its key.
    async fn beyond<T>(
        &self,
        client: &Client,
        error: &ClientError,
    ) -> Result<Page<T>, ClientError> {
        let path = format!("{}&field={}", self.path(1), self.key);
        let Page { keys, count, .. } = client.page::<IgnoredAny>(&path, self.key).await?;
        tracing::warn!(kind = self.collection, id = keys.first(), %error, "a row is left out");
        Ok(Page { rows: Vec::new(), keys, count })
    }

    fn path(&self, limit: usize) -> String {
        let Self { collection, key, filter, last, .. } = self;
        let (than, order) = if self.down { ("lt", "-") } else { ("gt", "") };
        format!("api/v2/{collection}?{key}__{than}={last}{filter}&order={order}{key}&limit={limit}")
    }
}

/// The rows of an answer that can be read.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub rows: Vec<T>,
    /// The keys of all of them, where they are numbers.
    keys: Vec<u64>,
    /// How many there are in all.
    count: usize,
}

impl Client {
    /// All rows of a small collection (builders, workers, projects), page by page.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        collection: &'static str,
        key: &'static str,
    ) -> Result<Vec<T>, ClientError> {
        let mut cursor = Cursor::above(collection, key, 0);
        let mut all = Vec::new();
        while !cursor.is_done() {
            all.append(&mut cursor.next(self, PAGE).await?);
        }
        Ok(all)
    }

    /// The rows of one bounded answer that can be read. One that is not as it is documented is left out
    /// and named in the log: it must not take the others with it, again and again.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
    ) -> Result<Page<T>, ClientError> {
        let kind = field(path);
        let garbage = |error| ClientError::Garbage(format!("{path}: {error}"));
        let all = raw::each_row(self.json(path).await?, kind, key).map_err(garbage)?;
        let mut page = Page { rows: Vec::new(), keys: Vec::new(), count: all.len() };
        for (id, row) in all {
            page.keys.extend(id);
            match row {
                Ok(row) => page.rows.push(row),
                Err(error) => {
                    tracing::warn!(kind, id, %error, "a row that cannot be read is left out");
                }
            }
        }
        Ok(page)
    }

    /// The rows of a collection with one of these keys that can be read: a repeated field is an `or`.
    pub(crate) async fn many<T: DeserializeOwned>(
        &self,
        collection: &str,
        key: &str,
        ids: &[impl Display],
        more: &str,
    ) -> Result<Vec<T>, ClientError> {
        let mut rows = Vec::new();
        let mut waiting = vec![ids];
        while let Some(ids) = waiting.pop() {
            if ids.is_empty() {
                continue;
            }
            let keys: String = ids.iter().map(|id| format!("{key}={id}&")).collect();
            // A master that ignores the keys must not send its whole table.
            let path = format!("api/v2/{collection}?{keys}limit={}{more}", ids.len());
            match self.page(&path, key).await {
                Err(ClientError::TooLarge { .. }) if ids.len() > 1 => {
                    let (first, rest) = ids.split_at(ids.len() / 2);
                    waiting.extend([rest, first]);
                }
                Err(error @ ClientError::TooLarge { .. }) => {
                    tracing::warn!(kind = collection, id = %ids[0], %error, "a row is left out");
                }
                page => rows.append(&mut page?.rows),
            }
        }
        Ok(rows)
    }

    /// All rows of one bounded answer, each of which must be readable: a caller would take one that is
    /// left out for absent.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Vec<T>, ClientError> {
        let body = self.json(path).await?;
        raw::rows(body, field(path)).map_err(|e| ClientError::Garbage(format!("{path}: {e}")))
    }

    /// The one row of an answer.
    pub(crate) async fn one<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let rows = self.list(path).await?;
        rows.into_iter().next().ok_or_else(|| ClientError::NotFound(path.to_owned()))
    }

    /// The highest key of a collection; 0 when it is empty.
    pub(crate) async fn highest(&self, collection: &str, key: &str) -> Result<u64, ClientError> {
        let path = format!("api/v2/{collection}?order=-{key}&limit=1&field={key}");
        let rows: Vec<serde_json::Value> = self.list(&path).await?;
        Ok(rows.first().and_then(|row| row.get(key)?.as_u64()).unwrap_or(0))
    }
}

/// The field of an answer that has its rows: the last word of the path.
fn field(path: &str) -> &str {
    let collection = path.split('?').next().unwrap_or(path);
    collection.rsplit('/').find(|s| s.parse::<u64>().is_err()).unwrap_or(collection)
}
