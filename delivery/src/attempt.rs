//! What an attempt is, for both loops: its budget, its deadline, and what is kept of a failure.

use crate::{
    SendError,
    budget::{Budget, Cost},
    redact,
    tally::Tally,
};
use feed::DeadLetter;
use model::{Record, Timestamp};
use std::time::Duration;
use tokio::time::timeout;

/// A wait for the budget that is longer shows as the target's health.
const NOTICED: Duration = Duration::from_secs(1);

/// Waits until the budget allows `cost`, and spends it.
///
/// # Errors
/// [`SendError::Permanent`] if it never will.
pub async fn afford(budget: &Budget, cost: &Cost, tally: &Tally) -> Result<(), SendError> {
    let spend = budget.spend(cost);
    tokio::pin!(spend);
    let spent = match timeout(NOTICED, &mut spend).await {
        Ok(spent) => spent,
        Err(_) => {
            tally.waits_for_budget();
            spend.await
        }
    };
    let waited = spent.map_err(|error| SendError::Permanent(error.to_string()))?;
    tally.afforded(waited, &budget.left());
    Ok(())
}

/// One attempt with its deadline. What it says of a failure is redacted.
pub async fn within<T>(
    limit: Duration,
    secrets: &[&str],
    send: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    let result = timeout(limit, send).await.unwrap_or_else(|_| {
        Err(SendError::Transient(format!("no answer within {} s", limit.as_secs_f32())))
    });
    result.map_err(|error| redact::error(error, secrets))
}

/// How old the event is. An event without a time counts from its journaling.
pub fn age(record: &Record) -> Duration {
    let happened = record.happened_at().unwrap_or(Timestamp(record.journaled_ms / 1000));
    Duration::from_secs(Timestamp::now().seconds_since(happened))
}

/// Whether the event is too old to be told.
pub fn too_old(record: &Record, catch_up: Option<Duration>) -> bool {
    catch_up.is_some_and(|limit| age(record) > limit)
}

/// What is kept of a record that was given up. `text` is redacted already.
pub fn letter(class: &str, text: &str, attempts: u32) -> DeadLetter {
    DeadLetter {
        class: class.to_owned(),
        text: text.to_owned(),
        attempts,
        at_ms: Timestamp::now().0.saturating_mul(1000),
    }
}
