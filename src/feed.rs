//! `feed`: reads one master, keeps its journal, and serves it to readers elsewhere.

use crate::{
    cli,
    fail::Failure,
    health::Health,
    plan::{self, MasterPlan},
    running::{Origin, Running},
    standalone,
};
use crds::manifest::LoadOptions;
use feed::http::{
    server::{About, Limits, State, serve},
    token::Keys,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often the keys are read again: a mounted Secret changes while the process runs.
const KEYS_AGAIN: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure`] when a manifest, the keys, the journal or an address can't be used.
pub async fn feed(arguments: cli::Feed) -> Result<(), Failure> {
    let cli::Feed { manifests, data, listen, keys: dir, serving } = arguments;
    let keys = Keys::from_dir(&dir)?;
    let manifests = standalone::load(&manifests, &LoadOptions::default())?;
    let plan = one(plan::plan(manifests.documents)?)?;
    let health = Health::new()?;
    let mut running = Running::new(&health);
    let starting = health.wait("the feed is served");
    let served = health.serve(serving.metrics, running.cancel()).await?;
    let failed = |source| Failure::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let feed = running.start_feed(&plan, &manifests.secrets, &data, Origin::Master).await?;
    let about = About {
        links: plan.links(),
        namespace: plan.namespace,
        name: plan.name,
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let state = State::new(feed.clone(), keys.clone(), about);
    let cancel = running.cancel();
    running.spawn(serve(listener, state.clone(), Limits::default(), cancel.clone()));
    running.spawn(follow_keys(state, dir, keys, cancel));
    drop(starting);
    let url = format!("http://{address}/");
    standalone::until_the_end(running, served, &[("feed", &url), ("uid", &feed.master_uid())]).await
}

/// The one master that a feed is about.
fn one(plans: Vec<MasterPlan>) -> Result<MasterPlan, Failure> {
    match <[MasterPlan; 1]>::try_from(plans) {
        Ok([plan]) => Ok(plan),
        Err(plans) => {
            let names: Vec<String> = plans.iter().map(MasterPlan::full_name).collect();
            Err(Failure::Other(format!(
                "a feed is about one Master, and the documents have {}: run a feed for each",
                names.join(", ")
            )))
        }
    }
}

/// Accepts keys as they are in the folder, until `cancel`. A folder that can't be used (a key is
/// being replaced, say) leaves those that were read before.
async fn follow_keys(state: State, dir: PathBuf, mut keys: Keys, cancel: CancellationToken) {
    let mut said = None;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(KEYS_AGAIN) => {}
        }
        match read(&dir).await {
            Ok(new) if new != keys => {
                let ids: Vec<&str> = new.ids().collect();
                tracing::info!("tokens of these keys are accepted from now on: {}", ids.join(", "));
                state.set_keys(new.clone());
                (keys, said) = (new, None);
            }
            Ok(_) => said = None,
            Err(error) if said.as_ref() != Some(&error) => {
                tracing::warn!("--keys: {error}; those that were read before are accepted on");
                said = Some(error);
            }
            Err(_) => {}
        }
    }
}

async fn read(dir: &Path) -> Result<Keys, String> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || Keys::from_dir(&dir)).await;
    read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
