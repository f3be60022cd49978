//! `target`: one target, or pages, as a process of its own that reads a feed elsewhere.

use crate::{
    cli,
    fail::Failure,
    health::Health,
    plan,
    running::{Mending, Running},
    standalone::{self, Signals},
};
use crds::manifest::{LoadOptions, Resource};
use feed::http::{
    api::Info,
    client::{Remote, RemoteError, RemoteOptions},
};
use model::{Backoff, Links};
use std::time::Duration;

/// The longest wait before the feed is asked again, the first time and ever.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs until SIGTERM or SIGINT. A feed that does not answer is waited for.
///
/// # Errors
/// [`Failure`] when the manifest, the token or an address can't be used, or the feed is of
/// another master.
pub async fn target(arguments: cli::Target) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let cli::Target { manifests, feed, pages, waiting, serving } = arguments;
    // Those that are waited for are looked for later.
    let without_secrets = waiting.wait;
    let options = LoadOptions { without_masters: true, without_secrets, ..LoadOptions::default() };
    let manifests = standalone::load(&manifests, &options)?;
    let resource = plan::one(manifests.documents)?;
    let health = Health::new()?;
    let mut running = Running::new(&health);
    let starting = health.wait(format!("the feed at {} answers", feed.url));
    let served = health.serve(serving.metrics, running.cancel()).await?;
    let start = async {
        let mut mending = Mending::new(waiting.wait, &health);
        let connect = || Remote::new(&feed.url, &feed.token_file, RemoteOptions::default());
        let token = |error: &RemoteError| matches!(error, RemoteError::Token(_));
        let remote = mending.read(connect, token).await?;
        let mut info = ask(&remote, &feed.url).await;
        if let Some(pages) = &pages {
            info.links = Links::web_status(pages);
        }
        belongs(&resource.resource, &info, &feed.url)?;
        running.start_reader(&resource, &manifests.secrets, &remote, info, mending).await?;
        Ok::<_, Failure>(())
    };
    if signals.unless_ended(start).await?.is_none() {
        return standalone::end(running, served).await;
    }
    drop(starting);
    standalone::until_the_end(running, served, signals, &[("feed", &feed.url)]).await
}

/// Whose feed it is; asked until there is an answer.
async fn ask(remote: &Remote, url: &str) -> Info {
    let mut again = Backoff::new(AGAIN.0, AGAIN.1);
    loop {
        match remote.info().await {
            Ok(info) => return info,
            Err(error) => {
                let wait = again.next_wait();
                tracing::warn!(url, again_in = ?wait, "{error}");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Whether the resource is about the feed's master.
fn belongs(resource: &Resource, info: &Info, url: &str) -> Result<(), Failure> {
    let Some(about) = resource.master() else { return Ok(()) };
    let own = resource.namespace().unwrap_or("default");
    let (namespace, master) = (about.namespace.as_deref().unwrap_or(own), about.name.as_str());
    if (namespace, master) == (info.namespace.as_str(), info.name.as_str()) {
        return Ok(());
    }
    Err(Failure::Other(format!(
        "{} {:?}: spec.masterRef.name: the resource is about Master {namespace}/{master}, and the \
         feed at {url} is of Master {}/{}",
        resource.kind(),
        resource.name(),
        info.namespace,
        info.name
    )))
}
