//! `demo`: a recorded master played live, with pages, mails and pushes; needs nothing else.

mod receiver;

use crate::{
    cli::Demo,
    fail::Failure,
    health::Health,
    plan,
    running::{Origin, Running},
    standalone,
};
use crds::{
    Listen,
    manifest::{self, LoadOptions, Resource},
};
use flate2::read::GzDecoder;
use master::{PlayOptions, Recording};
use std::{
    io::Read as _,
    net::{IpAddr, Ipv4Addr},
};

/// What runs.
const MANIFEST: &str = include_str!("demo/demo.yaml");
/// The recording, as `cargo xtask demo-recording` makes it of a real master.
const FRAMES: &[u8] = include_bytes!("../e2e/recording/ws.jsonl.gz");
const BUILDS: &[u8] = include_bytes!("../e2e/recording/rest_builds.jsonl.gz");
const COLLECTIONS: &[u8] = include_bytes!("../e2e/recording/rest_collections.jsonl.gz");

/// The recording that is shipped with the program.
///
/// # Errors
/// None in practice: a test reads it.
pub fn recording() -> Result<Recording, Failure> {
    let text = |bytes: &[u8]| {
        let mut text = String::new();
        GzDecoder::new(bytes)
            .read_to_string(&mut text)
            .map_err(|error| Failure::Other(format!("the recording is damaged: {error}")))?;
        Ok::<_, Failure>(text)
    };
    Recording::from_capture(&text(FRAMES)?, &text(BUILDS)?, &text(COLLECTIONS)?)
        .map_err(|error| Failure::Other(error.to_string()))
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure`] when the port is taken or the folder can't be used.
pub async fn demo(arguments: Demo) -> Result<(), Failure> {
    let mut signals = standalone::Signals::new()?;
    // Dropped at the end: a demo without --data leaves nothing behind.
    let own;
    let data = match arguments.data {
        Some(folder) => folder,
        None => {
            own = tempfile::Builder::new()
                .prefix("buildbot-status-demo-")
                .tempdir()
                .map_err(|source| Failure::Folder { path: std::env::temp_dir(), source })?;
            own.path().to_owned()
        }
    };
    let folder = |source| Failure::Folder { path: data.clone(), source };
    tokio::fs::create_dir_all(&data).await.map_err(folder)?;
    let (mails, pushes) = (data.join("mails"), data.join("pushes.jsonl"));

    let health = Health::new()?;
    let mut running = Running::new(&health);
    let starting = health.wait("the demo's pages are served");
    let served = health.serve(arguments.serving.metrics, running.cancel()).await?;
    running.write_mails_to(mails.clone());
    let receiver = receiver::start(pushes.clone(), running.cancel()).await.map_err(folder)?;

    // Written out, so that it can be looked at and copied.
    let file = data.join("demo.yaml");
    tokio::fs::write(&file, MANIFEST).await.map_err(folder)?;
    let manifests =
        manifest::load(&[&file], &LoadOptions::default()).map_err(Failure::Manifests)?;
    let recording = recording()?;
    let options = PlayOptions { speed: arguments.speed, ..PlayOptions::default() };
    let plans = plan::plan(manifests.documents)?;
    let start = async {
        for mut plan in plans {
            for page in &mut plan.pages {
                page.resource.spec.http_port = Listen::Tcp {
                    port: arguments.port,
                    interface: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                };
            }
            for target in &mut plan.targets {
                if let Resource::HttpPush(push) = &mut target.resource {
                    push.spec.server_url = format!("http://{receiver}/push");
                }
            }
            let origin = Origin::Recording(recording.clone(), options.clone());
            running.start(&plan, &manifests.secrets, &data, origin).await?;
        }
        Ok::<_, Failure>(())
    };
    if signals.unless_ended(start).await?.is_none() {
        return standalone::end(running, served).await;
    }
    let also: [(&str, &dyn std::fmt::Display); 3] =
        [("manifest", &file.display()), ("mails", &mails.display()), ("pushes", &pushes.display())];
    drop(starting);
    standalone::until_the_end(running, served, signals, &also).await
}
