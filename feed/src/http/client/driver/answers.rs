//! Acknowledgements on their way, and what their answers mean.

use super::{
    super::{
        failure::Failure,
        outbox::{Verdict, Wish, verdict},
    },
    Driver, Leave,
};
use crate::{
    ConsumerError, StoreError,
    http::api::{Ack, AckRequest, AckResponse, Code, Problem},
};
use model::Position;
use reqwest::Method;
use std::{
    future::{Future, pending},
    pin::Pin,
};
use tokio::time::Instant;

/// A request under way.
pub(super) type Sending = Pin<Box<dyn Future<Output = Result<AckResponse, Failure>> + Send>>;

impl Driver {
    pub(super) fn send(&self, acks: Vec<Ack>) -> Sending {
        let request = AckRequest { generation: self.open.generation, acks };
        let path = ["consumers", self.shared.name.as_str(), "acks"];
        let built = self.remote.request(Method::POST, &path).json(&request);
        let remote = self.remote.clone();
        Box::pin(async move { remote.json(built).await })
    }

    /// Takes the answer to `count` acknowledgements.
    pub(super) fn answered(
        &mut self,
        count: usize,
        answer: Result<AckResponse, Failure>,
        not_before: &mut Instant,
    ) -> Result<(), Leave> {
        let results = match answer {
            Ok(answer) if answer.results.len() == count => {
                self.shared.lock().status.backlog = answer.backlog;
                answer.results
            }
            Ok(answer) => {
                let given = answer.results.len();
                return Err(Leave::Cut(format!("{count} acknowledgements, but {given} results")));
            }
            // Refused as a whole.
            Err(Failure::Refused(problem)) => vec![Some(problem); count],
            Err(failure) => return Err(self.left(failure)),
        };
        let (mut later, mut done_with_state, mut leave) = (Vec::new(), false, None);
        let mut put_off = Vec::new();
        for (wish, result) in self.outbox.take(count).into_iter().zip(results) {
            let Some(problem) = result else {
                // A later one that is on disk while an earlier one is not.
                done_with_state |= !later.is_empty() && wish.ack.change().is_some();
                self.done(wish)?;
                continue;
            };
            match verdict(problem.code) {
                Verdict::Never => {
                    let error = self.never(wish.ack.position, problem);
                    wish.answer(Err(error));
                }
                Verdict::Later => {
                    put_off.push(problem);
                    later.push(wish);
                }
                Verdict::Reopen | Verdict::Superseded | Verdict::Forgotten => {
                    leave = Some(problem);
                    later.push(wish);
                }
            }
        }
        if later.is_empty() {
            self.backoff.reset();
        }
        if let Some(problem) = put_off.first() {
            // One request failed, whatever the number of those in it.
            let wait = self.backoff.next_wait();
            *not_before = Instant::now() + wait;
            let (consumer, count) = (&self.shared.name, put_off.len());
            tracing::warn!(consumer, count, ?wait, "acknowledgements are tried again: {problem}");
        }
        if !self.outbox.put_back(later, done_with_state) {
            let text = "acknowledgements came to pass in another order".to_owned();
            return Err(Leave::End(ConsumerError::Store(StoreError::Refused(text))));
        }
        match leave {
            Some(problem) => Err(self.left(Failure::Refused(problem))),
            None => Ok(()),
        }
    }

    fn never(&self, given: Option<Position>, problem: Problem) -> ConsumerError {
        let given = given.unwrap_or_default();
        match problem.code {
            Code::NotHandedOut => ConsumerError::NotHandedOut { given },
            Code::OtherJournal => ConsumerError::OtherJournal { given, epoch: self.open.epoch },
            _ => ConsumerError::Bounds(problem.message),
        }
    }

    /// It is on the feed's disk.
    fn done(&mut self, wish: Wish) -> Result<(), Leave> {
        {
            let mut known = self.shared.lock();
            if let Some(change) = wish.ack.change() {
                known.values.retain(|key, _| !change.remove.contains(key));
                known.values.extend(change.set);
            }
        }
        let position = wish.ack.position;
        wish.answer(Ok(()));
        let Some(position) = position else { return Ok(()) };
        self.held.remove(&position);
        self.shared.lock().status.in_flight = self.held.len();
        match self.again.remove(&position) {
            Some(record) => self.hand_out(record),
            None => Ok(()),
        }
    }
}

/// The answer to what is being sent; never, if nothing is.
pub(super) async fn settled(
    sending: &mut Option<(usize, Sending)>,
) -> (usize, Result<AckResponse, Failure>) {
    match sending {
        Some((count, answer)) => (*count, answer.await),
        None => pending().await,
    }
}
