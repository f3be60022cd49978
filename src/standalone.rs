//! `standalone`: every document of the manifests, in this process.

use crate::{
    cli::{Manifests, Standalone},
    fail::Failure,
    health::{Health, Served},
    plan,
    running::{Origin, Running},
};
use crds::manifest::{self, LoadOptions};
use std::{fmt::Display, io::Write as _, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long what is in progress may take to end.
const PATIENCE: Duration = Duration::from_secs(8);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure`] when a manifest, the journal or an address can't be used.
pub async fn standalone(arguments: Standalone) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let manifests = load(&arguments.manifests, &LoadOptions::default())?;
    let plans = plan::plan(manifests.documents)?;
    let health = Health::new()?;
    let mut running = Running::new(&health);
    let starting = health.wait("all that the manifests say runs");
    let served = health.serve(arguments.serving.metrics, running.cancel()).await?;
    let start = async {
        for plan in &plans {
            running.start(plan, &manifests.secrets, &arguments.data, Origin::Master).await?;
        }
        Ok::<_, Failure>(())
    };
    if signals.unless_ended(start).await?.is_none() {
        return end(running, served).await;
    }
    drop(starting);
    until_the_end(running, served, signals, &[]).await
}

/// Reads manifests; says in the log which documents were skipped.
///
/// # Errors
/// [`Failure::Manifests`] with every mistake.
pub fn load(from: &Manifests, options: &LoadOptions) -> Result<manifest::Manifests, Failure> {
    let options = LoadOptions { secrets: from.secrets.clone(), ..options.clone() };
    let manifests = manifest::load(&from.files, &options).map_err(Failure::Manifests)?;
    for note in &manifests.notes {
        tracing::info!("{}:{}: {}", note.file.display(), note.line, note.message);
    }
    Ok(manifests)
}

/// Prints where the pages are, and waits for the end.
///
/// # Errors
/// None so far.
pub async fn until_the_end(
    running: Running,
    served: Served,
    mut signals: Signals,
    also: &[(&str, &dyn Display)],
) -> Result<(), Failure> {
    print(&running, served.address, also);
    signals.received().await;
    tracing::info!("ending: what is in progress is finished first");
    end(running, served).await
}

/// Ends what runs, or was about to.
///
/// # Errors
/// None so far.
pub async fn end(running: Running, served: Served) -> Result<(), Failure> {
    running.end(PATIENCE).await;
    // Its errors would be about connections that are gone anyway.
    let _ = served.task.await;
    Ok(())
}

/// Tells on standard output, for people and scripts, where things are.
fn print(running: &Running, metrics: std::net::SocketAddr, also: &[(&str, &dyn Display)]) {
    let mut lines = String::new();
    for pages in &running.pages {
        lines += &format!("{:<9}{}\n", pages.name, pages.url);
    }
    for (what, place) in also {
        lines += &format!("{what:<9}{place}\n");
    }
    lines += &format!("{:<9}http://{metrics}/metrics\n", "metrics");
    // A closed standard output is no reason to stop.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

/// SIGTERM and SIGINT, from the moment on when this is made.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From now on.
    ///
    /// # Errors
    /// [`Failure::Signals`].
    pub fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(Failure::Signals);
        Ok(Self { term: of(SignalKind::terminate())?, int: of(SignalKind::interrupt())? })
    }

    /// Until one comes.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// What `start` makes, or `None` if a signal comes first.
    ///
    /// # Errors
    /// Those of `start`.
    pub async fn unless_ended<T>(
        &mut self,
        start: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Option<T>, Failure> {
        tokio::select! {
            () = self.received() => {
                tracing::info!("ending: told to before all had started");
                Ok(None)
            }
            started = start => started.map(Some),
        }
    }
}
