//! Follows a real master for ever.

use crate::{Client, ClientError, MasterState, Settings, Sink, StateKind};
use tokio_util::sync::CancellationToken;

/// Follows the master of the settings until `cancel`.
pub async fn run(settings: Settings, sink: impl Sink, cancel: CancellationToken) {
    match Client::new(&settings) {
        Ok(client) => run_with(client, settings, sink, cancel).await,
        Err(error) => {
            halted(&sink, &error);
            cancel.cancelled().await;
        }
    }
}

fn halted(sink: &impl Sink, error: &ClientError) {
    sink.state(MasterState::now(StateKind::Halted, error.to_string()));
}

/// [`run`] with a client that others use too, so that there is one session.
pub async fn run_with(
    _client: Client,
    _settings: Settings,
    _sink: impl Sink,
    cancel: CancellationToken,
) {
    cancel.cancelled().await;
}
