//! `feed`: reads one master, keeps its journal, and serves it to readers elsewhere.

use crate::{
    cli,
    fail::Failure,
    health::Health,
    plan::{self, MasterPlan},
    running::{Mending, Origin, Running},
    standalone::{self, Signals},
};
use crds::manifest::LoadOptions;
use feed::http::{
    server::{About, Limits, State, serve},
    token::Keys,
};
use std::{
    fmt::Display,
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
    let mut signals = Signals::new()?;
    let cli::Feed { manifests, data, listen, keys, expect_epoch, waiting, serving } = arguments;
    // Those that are waited for are looked for later.
    let options = LoadOptions { without_secrets: waiting.wait, ..LoadOptions::default() };
    let manifests = standalone::load(&manifests, &options)?;
    let plan = one(plan::plan(manifests.documents)?)?;
    let health = Health::new()?;
    let mut running = Running::new(&health);
    let starting = health.wait("the feed is served");
    let served = health.serve(serving.metrics, running.cancel()).await?;
    let start = async {
        let mut mending = Mending::new(waiting.wait, &health);
        let dir = keys;
        let keys = mending.read(|| Keys::from_dir(&dir), |_| true).await?;
        let failed = |source| Failure::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let origin = Origin::Master;
        // In a cluster the manifest says it, as the operator read it off the feed.
        let known = plan.master.resource.status.as_ref().and_then(|status| status.journal_epoch);
        let expected = expect_epoch.or(known.and_then(|epoch| u32::try_from(epoch).ok()));
        let journal = running.open_feed(&plan, &data, &origin, expected).await?;
        let uid = journal.feed.master_uid().to_owned();
        let about = About {
            links: plan.links(),
            namespace: plan.namespace.clone(),
            name: plan.name.clone(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let state = State::new(journal.feed.clone(), keys.clone(), about);
        let cancel = running.cancel();
        running.spawn(serve(listener, state.clone(), Limits::default(), cancel.clone()));
        // What the journal has can be read from now on, and the feed itself says what is missing. Kubernetes
        // leads nobody to a pod that is not ready, and makes no other in its place when its settings change.
        drop(starting);
        let mending = mending.served();
        running.spawn(follow_keys(state.clone(), dir, keys, cancel));
        tracing::info!("the feed is served at http://{address}/");
        let tell = |problem| state.set_problem(problem);
        let (plan, secrets) = (&plan, &manifests.secrets);
        running.start_feed(plan, secrets, journal, &origin, mending, tell).await?;
        Ok::<_, Failure>((format!("http://{address}/"), uid))
    };
    let Some((url, uid)) = signals.unless_ended(start).await? else {
        return standalone::end(running, served).await;
    };
    let also: [(&str, &dyn Display); 2] = [("feed", &url), ("uid", &uid)];
    standalone::until_the_end(running, served, signals, &also).await
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
