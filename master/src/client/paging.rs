//! Lists, page by page, by key.
//!
//! `meta.total` says nothing of builds, changes, buildsets and requests, offsets shift while
//! rows come, and a misspelt operator is ignored so that the whole table comes. So: rows with
//! a key above the last one, in its order, until a page is short.

use super::Client;
use crate::{ClientError, raw};
use serde::de::DeserializeOwned;

/// Rows of a page.
pub(crate) const PAGE: usize = 200;

impl Client {
    /// One page of the rows of `collection` with a key above `after`.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        collection: &str,
        key: &str,
        after: u64,
        extra: &str,
        limit: usize,
    ) -> Result<Vec<T>, ClientError> {
        let path =
            format!("api/v2/{collection}?{key}__gt={after}&order={key}&limit={limit}{extra}");
        self.list(&path).await
    }

    /// All rows of a small collection (builders, workers, projects), page by page.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        collection: &str,
        key: &str,
        id: impl Fn(&T) -> u64,
    ) -> Result<Vec<T>, ClientError> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page: Vec<T> = self.page(collection, key, after, "", PAGE).await?;
            let short = page.len() < PAGE;
            let last = page.iter().map(&id).max().unwrap_or(after);
            all.extend(page);
            // A master that ignores the key would send the same page for ever.
            if short || last <= after {
                return Ok(all);
            }
            after = last;
        }
    }

    /// The rows of one bounded answer; the field is the last word of the path.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Vec<T>, ClientError> {
        let field = path.split('?').next().unwrap_or(path);
        let field = field.rsplit('/').find(|s| s.parse::<u64>().is_err()).unwrap_or(field);
        let body = self.json(path).await?;
        raw::rows(body, field).map_err(|e| ClientError::Garbage(format!("{path}: {e}")))
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
