//! Where a master's events come from: the master at its address, or a recording of one.

use super::StartError;
use crate::plan::MasterPlan;
use crds::secrets::SecretSource;
use master::{Client, LogSource, Login, MasterState, PlayOptions, Recording, Settings, StateKind};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where a master's events come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The master at the address of its resource.
    Master,
    /// A recorded master.
    Recording(Recording, PlayOptions),
}

/// An origin with its settings checked.
pub(super) enum Ready {
    Master(Client, Box<Settings>),
    Recording(Recording, PlayOptions),
}

impl Origin {
    pub(super) fn ready(
        self,
        plan: &MasterPlan,
        secrets: &SecretSource,
    ) -> Result<Ready, StartError> {
        match self {
            Self::Recording(recording, options) => Ok(Ready::Recording(recording, options)),
            Self::Master => {
                let settings = settings(plan, secrets)?;
                let client = Client::new(&settings).map_err(|error| StartError::Settings {
                    kind: "Master",
                    name: plan.name.clone(),
                    reason: error.to_string(),
                })?;
                Ok(Ready::Master(client, Box::new(settings)))
            }
        }
    }
}

impl Ready {
    pub(super) fn logs(&self) -> Arc<dyn LogSource> {
        match self {
            Self::Master(client, _) => Arc::new(client.clone()),
            Self::Recording(recording, _) => Arc::new(recording.clone()),
        }
    }

    pub(super) async fn run(self, ingest: feed::Ingest, cancel: CancellationToken) {
        match self {
            Self::Master(client, settings) => {
                master::run_with(client, *settings, ingest, cancel).await;
            }
            Self::Recording(recording, options) => {
                master::play(recording, options, ingest, cancel).await;
            }
        }
    }
}

fn settings(plan: &MasterPlan, secrets: &SecretSource) -> Result<Settings, StartError> {
    let spec = &plan.master.spec;
    let name = &plan.name;
    let refused =
        |reason: String| StartError::Settings { kind: "Master", name: name.clone(), reason };
    let secret = |field, error| StartError::Secret {
        kind: "Master",
        name: name.clone(),
        field,
        source: Box::new(error),
    };
    let url =
        spec.url.parse().map_err(|error| refused(format!("spec.url: {:?}: {error}", spec.url)))?;
    let mut settings = Settings::new(url);
    settings.history_builds = spec.history.max_builds as usize;
    settings.reconcile = spec.reconcile_interval.get();
    if let Some(auth) = &spec.auth {
        let field = "auth.passwordSecretRef";
        let password = secrets.get(&auth.password_secret_ref).map_err(|e| secret(field, e))?;
        let password = password.expose().map_err(|e| secret(field, e))?.to_owned();
        settings.login = Some(Login { username: auth.username.clone(), password });
    }
    if let Some(tls) = &spec.tls {
        let pem = secrets.get(&tls.ca_secret_ref).map_err(|e| secret("tls.caSecretRef", e))?;
        settings.ca_pem = Some(pem.expose_bytes().to_vec());
    }
    Ok(settings)
}

/// Says in the log how the connection stands, whenever that changes.
pub(super) async fn report(
    name: String,
    mut state: watch::Receiver<MasterState>,
    cancel: CancellationToken,
) {
    let mut said: Option<StateKind> = None;
    loop {
        let MasterState { kind, text, .. } = state.borrow_and_update().clone();
        if said != Some(kind) {
            match kind {
                StateKind::Connecting => {}
                StateKind::CatchingUp | StateKind::Live => tracing::info!(master = name, "{text}"),
                _ => tracing::warn!(master = name, "{text}"),
            }
            said = Some(kind);
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}
