//! Consumers from outside: their figures and dead letters.

use super::{Remote, failure::Failure};
use crate::{
    CatchUp, ConsumerError, ConsumerStatus, Parked, ReadError, ReaderStatus, Report,
    http::api::{Consumers, Letters, LettersQuery, ReplayRequest, Replayed},
};
use model::Position;
use reqwest::Method;

impl Remote {
    /// See [`crate::Feed::consumers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn consumers(&self) -> Result<Vec<ConsumerStatus>, ReadError> {
        let answer: Consumers = self.get(&["consumers"], &()).await?;
        Ok(answer.consumers)
    }

    /// See [`crate::Feed::readers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn readers(&self) -> Result<Vec<ReaderStatus>, ReadError> {
        let answer: Consumers = self.get(&["consumers"], &()).await?;
        Ok(answer.readers)
    }

    /// Says what this process is like; see [`crate::Feed::report`]. Name and kind are those of the
    /// token.
    ///
    /// # Errors
    /// [`ConsumerError::Bounds`], [`ConsumerError::Store`].
    pub async fn report(&self, report: &Report) -> Result<(), ConsumerError> {
        let unheard = |text| Failure::unheard(text).of_consumer("", 0);
        let name = &self.inner.token.subject().map_err(unheard)?;
        let request = self.request(Method::PUT, &["consumers", name, "report"]).json(report);
        let request = request.timeout(self.inner.options.timeout);
        self.bytes(request).await.map(|_| ()).map_err(|f| f.of_consumer(name, 0))
    }

    /// Figures of one consumer.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::Store`].
    pub async fn status(&self, name: &str) -> Result<ConsumerStatus, ConsumerError> {
        self.get(&["consumers", name], &()).await.map_err(|f| f.of_consumer(name, 0))
    }

    /// See [`crate::Feed::forget`].
    ///
    /// # Errors
    /// [`ConsumerError::Store`].
    pub async fn forget(&self, name: &str) -> Result<(), ConsumerError> {
        match self.wish(Method::DELETE, name, &[]).await {
            Err(ConsumerError::NotFound(_)) => Ok(()),
            other => other,
        }
    }

    /// See [`crate::Feed::dead_letters`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dead_letters(
        &self,
        name: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Parked>, ReadError> {
        let query = LettersQuery { after, limit: Some(limit) };
        let answer: Letters = self.get(&["consumers", name, "dead-letters"], &query).await?;
        Ok(answer.letters)
    }

    /// See [`crate::Feed::replay`].
    ///
    /// # Errors
    /// As there.
    pub async fn replay(&self, name: &str, position: Position) -> Result<(), ConsumerError> {
        let position = position.to_string();
        self.wish(Method::POST, name, &["dead-letters", &position, "replay"]).await
    }

    /// See [`crate::Feed::drop_letter`].
    ///
    /// # Errors
    /// As there.
    pub async fn drop_letter(&self, name: &str, position: Position) -> Result<(), ConsumerError> {
        let position = position.to_string();
        self.wish(Method::DELETE, name, &["dead-letters", &position]).await
    }

    /// See [`crate::Feed::replay_history`].
    ///
    /// # Errors
    /// As there.
    pub async fn replay_history(
        &self,
        name: &str,
        catch_up: CatchUp,
    ) -> Result<u64, ConsumerError> {
        let request = self.request(Method::POST, &["consumers", name, "replay"]);
        let answer = self.json(request.json(&ReplayRequest { catch_up })).await;
        let Replayed { builds } = answer.map_err(|f: Failure| f.of_consumer(name, 0))?;
        Ok(builds)
    }

    /// Asks for something to be done with a consumer.
    async fn wish(&self, method: Method, name: &str, below: &[&str]) -> Result<(), ConsumerError> {
        let path: Vec<&str> = ["consumers", name].iter().chain(below).copied().collect();
        let request = self.request(method, &path).timeout(self.inner.options.timeout);
        self.bytes(request).await.map(|_| ()).map_err(|f| f.of_consumer(name, 0))
    }
}
