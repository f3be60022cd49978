//! Settings that can't be used yet: a process in a cluster waits until they are mended, since to
//! end would only have it started again.

use super::StartError;
use crate::{
    fail::Failure,
    health::{Health, Waiting},
};
use crds::secrets::SecretError;
use feed::Fault;
use std::time::Duration;

/// How long is waited before settings are looked at again.
const AGAIN: Duration = Duration::from_secs(3);

/// Waits for settings, if that is wanted, and says what for: in the log when it changes, and on
/// `/readyz` unless something is served meanwhile.
#[derive(Debug)]
pub struct Mending {
    wanted: bool,
    health: Health,
    said: Option<(String, Option<Waiting>)>,
    served: bool,
}

impl Mending {
    /// Waits only if `wanted`.
    pub fn new(wanted: bool, health: &Health) -> Self {
        Self { wanted, health: health.clone(), said: None, served: false }
    }

    /// Something is served whatever is waited for from now on, so the process is ready all the same.
    #[must_use]
    pub fn served(self) -> Self {
        Self { served: true, ..self }
    }

    /// Says what can't be used, and waits a while; `false` at once if there is no waiting.
    pub async fn wait(&mut self, error: &impl ToString) -> bool {
        if !self.wanted {
            return false;
        }
        let text = delivery::redact(&error.to_string(), &[]);
        if self.said.as_ref().is_none_or(|(said, _)| *said != text) {
            tracing::error!("waits until this is mended: {text}");
            let waiting =
                (!self.served).then(|| self.health.wait(format!("this is mended: {text}")));
            self.said = Some((text, waiting));
        }
        tokio::time::sleep(AGAIN).await;
        true
    }

    /// What `read` reads, again and again while `waits` says that its failure may be mended.
    ///
    /// # Errors
    /// Any other failure, and every one if there is no waiting.
    pub async fn read<T, E: ToString + Into<Failure>>(
        &mut self,
        mut read: impl FnMut() -> Result<T, E>,
        waits: impl Fn(&E) -> bool,
    ) -> Result<T, Failure> {
        loop {
            match read() {
                Ok(read) => {
                    self.mended();
                    return Ok(read);
                }
                Err(error) => {
                    if !waits(&error) || !self.wait(&error).await {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    /// All can be used.
    pub fn mended(&mut self) {
        if self.said.take().is_some() {
            tracing::info!("mended: going on");
        }
    }
}

impl StartError {
    /// What is told of settings that can't be used; `None` if it is something else that can't.
    pub fn fault(&self) -> Option<Fault> {
        let reason = match self {
            Self::Secret { source, .. } => match **source {
                SecretError::NoSecret { .. } => "SecretMissing",
                SecretError::NoKey { .. } => "SecretKeyMissing",
                SecretError::Read { .. } => "SecretUnreadable",
                SecretError::BadName(_) | SecretError::NotText | SecretError::TooLarge => {
                    "SecretInvalid"
                }
            },
            Self::Settings { .. } => "InvalidSettings",
            Self::At { source, .. } => return source.fault(),
            Self::Journal { .. } | Self::Listen { .. } | Self::Metrics(_) => return None,
        };
        Some(Fault::new(reason, &delivery::redact(&self.to_string(), &[])))
    }
}
