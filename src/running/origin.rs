//! Where a master's events come from: the master at its address, or a recording of one.

use super::{
    StartError,
    make::{as_bytes, as_text, secret},
};
use crate::plan::MasterPlan;
use crds::secrets::SecretSource;
use master::{Client, LogSource, Login, MasterState, PlayOptions, Recording, Settings, StateKind};
use prometheus::Registry;
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
    /// Figures of the connection, registered if there is one.
    pub(super) fn figures(
        &self,
        plan: &MasterPlan,
        registry: &Registry,
    ) -> Result<master::Metrics, StartError> {
        match self {
            Self::Recording(..) => Ok(master::Metrics::default()),
            Self::Master => Ok(master::Metrics::register(registry, &plan.full_name())?),
        }
    }

    /// A client of the master that a plan names.
    ///
    /// # Errors
    /// [`StartError`] names the setting or Secret that can't be used.
    pub fn client(plan: &MasterPlan, secrets: &SecretSource) -> Result<Client, StartError> {
        connected(plan, &settings(plan, secrets)?)
    }

    /// The same with its settings checked, as they are now.
    pub(super) fn ready(
        &self,
        plan: &MasterPlan,
        secrets: &SecretSource,
        figures: &master::Metrics,
    ) -> Result<Ready, StartError> {
        match self {
            Self::Recording(recording, options) => {
                Ok(Ready::Recording(recording.clone(), options.clone()))
            }
            Self::Master => {
                let mut settings = settings(plan, secrets)?;
                settings.metrics = figures.clone();
                let client = connected(plan, &settings)?;
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

fn connected(plan: &MasterPlan, settings: &Settings) -> Result<Client, StartError> {
    Client::new(settings).map_err(|error| StartError::Settings {
        kind: "Master",
        name: plan.name.clone(),
        field: String::new(),
        reason: error.to_string(),
    })
}

/// Settings for the master at the address of its resource, without a login.
///
/// # Errors
/// [`StartError::Settings`], if it is no address.
pub fn addressed(plan: &MasterPlan) -> Result<Settings, StartError> {
    let url = &plan.master.resource.spec.url;
    url.parse().map(Settings::new).map_err(|error| StartError::Settings {
        kind: "Master",
        name: plan.name.clone(),
        field: "spec.url".to_owned(),
        reason: format!("{url:?} is no address: {error}"),
    })
}

fn settings(plan: &MasterPlan, secrets: &SecretSource) -> Result<Settings, StartError> {
    let spec = &plan.master.resource.spec;
    let of = |field| ("Master", plan.name.as_str(), field);
    let mut settings = addressed(plan)?;
    settings.history_builds = spec.history.max_builds as usize;
    settings.reconcile = spec.reconcile_interval.get();
    if let Some(auth) = &spec.auth {
        let field = of("auth.passwordSecretRef");
        let password = secret(field, &auth.password_secret_ref, secrets, as_text)?;
        settings.login = Some(Login { username: auth.username.clone(), password });
    }
    if let Some(tls) = &spec.tls {
        let field = of("tls.caSecretRef");
        settings.ca_pem = Some(secret(field, &tls.ca_secret_ref, secrets, as_bytes)?);
    }
    Ok(settings)
}

/// Says in the log how the connection stands, whenever that changes, and in the figures of a process
/// whose feed is elsewhere.
pub(super) async fn report(
    name: String,
    mut state: watch::Receiver<MasterState>,
    figures: Option<feed::Standing>,
    cancel: CancellationToken,
) {
    let mut said: Option<StateKind> = None;
    loop {
        let MasterState { kind, text, .. } = state.borrow_and_update().clone();
        if said != Some(kind) {
            if let Some(figures) = &figures {
                figures.set(kind);
            }
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
