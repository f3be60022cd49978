//! Follows a real master for ever: connects, catches up, stays live, and begins again.

mod session;

use crate::{Client, ClientError, MasterState, Settings, Sink, SinkError, StateKind};
use model::{Backoff, Live};
use session::{End, Session};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The longest wait before the second try, and before any.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long after a loss a master that does not answer counts as restarting.
const RESTART: Duration = Duration::from_secs(60);

/// Follows the master of the settings until `cancel`.
///
/// Never gives up: whatever is wrong is told by [`Sink::state`], and tried again with
/// exponential backoff and full jitter, from 1 s up to 60 s.
pub async fn run(settings: Settings, sink: impl Sink, cancel: CancellationToken) {
    match Client::new(&settings) {
        Ok(client) => run_with(client, settings, sink, cancel).await,
        Err(error) => {
            sink.state(MasterState::now(StateKind::Halted, error.to_string()));
            cancel.cancelled().await;
        }
    }
}

/// [`run`] with a client that others use too, so that there is one session.
pub async fn run_with(
    client: Client,
    settings: Settings,
    mut sink: impl Sink,
    cancel: CancellationToken,
) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let mut connected: Option<Instant> = None;
    sink.state(MasterState::now(StateKind::Connecting, format!("connecting to {}", settings.url)));
    loop {
        let session = Session::new(&client, &settings, &mut sink, cancel.clone());
        let (end, was_live) = Box::pin(session.run()).await;
        if was_live {
            backoff.reset();
            connected = Some(Instant::now());
        }
        let state = match end {
            End::Cancelled | End::Sink(SinkError::Closed) => return,
            End::Sink(error) => MasterState::now(
                StateKind::Halted,
                format!("{error}; nothing is read from the master until it can be"),
            ),
            End::Client(error) => {
                let restarting = connected.is_some_and(|at| at.elapsed() < RESTART);
                state_of(&error, &settings, restarting)
            }
        };
        settings.metrics.reconnects(state.kind);
        if was_live {
            sink.live(Live::Master { connected: false, text: state.text.clone() });
        }
        let delay = backoff.next_wait();
        // Who runs the connection says it to people, once for each state.
        tracing::debug!(kind = state.kind.name(), again_in = ?delay, "not connected: {}", state.text);
        sink.state(state);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// What an error means for people who look at the status.
fn state_of(error: &ClientError, settings: &Settings, restarting: bool) -> MasterState {
    let url = &settings.url;
    let (kind, text) = match error {
        ClientError::Unreachable(_) if restarting => {
            (StateKind::Restarting, format!("{error}. It may be restarting; trying again"))
        }
        ClientError::Unreachable(_) => {
            (StateKind::Down, format!("{error}. Trying {url} again at least once a minute"))
        }
        ClientError::Denied(_) => {
            let advice = match &settings.login {
                Some(login) => format!("Check the password and rights of {:?}", login.username),
                None => "It wants a login; none is set".to_owned(),
            };
            (StateKind::Denied, format!("{error}. {advice}"))
        }
        ClientError::NotBuildbot(_) => {
            (StateKind::NotBuildbot, format!("{error}. Check the address {url}"))
        }
        ClientError::OldApi(_) => (StateKind::OldApi, error.to_string()),
        ClientError::Settings(_) => (StateKind::Halted, error.to_string()),
        ClientError::Slow { .. }
        | ClientError::Status { .. }
        | ClientError::NotFound(_)
        | ClientError::TooLarge { .. }
        | ClientError::Garbage(_) => {
            (StateKind::Slow, format!("{error}. Nothing is lost; trying again"))
        }
    };
    MasterState::now(kind, text)
}
