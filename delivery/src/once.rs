//! One record through a target, once, outside its loop: for who wants to see whether it works.

use crate::{BatchTarget, ComposeError, SendError, Sent, Target, attempt::within, redact};
use model::Record;
use std::time::Duration;

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnceError {
    /// The message could not be made.
    #[error("the message can't be made: {0}")]
    Compose(ComposeError),
    /// The peer did not take it. The text holds no secret of the target.
    #[error("{0} ({class})", class = .0.class())]
    Send(SendError),
}

/// Gathers, composes and sends in one attempt; `None` if there is nobody to say it to.
///
/// # Errors
/// [`OnceError`].
pub async fn once<T: Target>(
    target: &T,
    record: &Record,
    limit: Duration,
) -> Result<Option<Sent>, OnceError> {
    let secrets = target.secrets();
    let sent = |error| OnceError::Send(error);
    let facts = within(limit, &secrets, target.gather(record)).await.map_err(sent)?;
    let Some(mut message) =
        target.compose(record, facts).map_err(|error| plain(&error, &secrets))?
    else {
        return Ok(None);
    };
    within(limit, &secrets, target.send(&mut message)).await.map(Some).map_err(sent)
}

/// Sends a batch of one record in one attempt, numbered as a new target would.
///
/// # Errors
/// [`OnceError`].
pub async fn once_batch<T: BatchTarget>(
    target: &T,
    record: &Record,
    limit: Duration,
) -> Result<Sent, OnceError> {
    let secrets = target.secrets();
    let compose = |text: String| OnceError::Compose(ComposeError(redact(&text, &secrets)));
    let mut state = target.load(None).map_err(compose)?;
    let item = target.compose(&mut state, record).map_err(|error| plain(&error, &secrets))?;
    let taken = within(limit, &secrets, target.send(&[&item])).await.map_err(OnceError::Send)?;
    match taken.refused.into_values().next() {
        Some(text) => Err(OnceError::Send(SendError::Permanent(redact(&text, &secrets)))),
        None if taken.items == 0 => {
            Err(OnceError::Send(SendError::Transient("nothing was taken".to_owned())))
        }
        None => Ok(Sent::Whole),
    }
}

fn plain(error: &ComposeError, secrets: &[&str]) -> OnceError {
    OnceError::Compose(ComposeError(redact(&error.0, secrets)))
}
