//! One master and one standalone serve all tests: a past of 40 hours, then the scenario, then rest.

use crate::{
    page::{Key, Page},
    truth::{self, Build, Truth},
};
use e2e::{Lab, Standalone, free_port, wait_until};
use std::{
    collections::BTreeSet,
    panic,
    sync::{Mutex, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Builds of the past, and the seconds between them.
const OLD: usize = 120;
const APART: &str = "1200";
/// What the tests share.
pub struct World {
    pub runtime: Runtime,
    pub truth: Truth,
    /// Port of the pages.
    pub port: u16,
    /// Port of pages whose manifest sets `numEvents` to 20 and `numEventsMax` to 40.
    pub narrow: u16,
    pub running: Mutex<Option<(Standalone, Lab, TempDir)>>,
}

pub static WORLD: OnceLock<Option<World>> = OnceLock::new();

/// Made by whoever needs it first; not again when that fails.
pub fn world() -> &'static World {
    let world = WORLD.get_or_init(|| panic::catch_unwind(World::new).ok());
    world.as_ref().expect("the master or the pages did not start: the first message says why")
}

fn manifests(master: u16, pages: u16, narrow: u16) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main}}
spec: {{url: \"http://127.0.0.1:{master}/\"}}
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {{name: pages}}
spec: {{masterRef: {{name: main}}, httpPort: \"tcp:{pages}:interface=127.0.0.1\"}}
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {{name: narrow}}
spec:
  masterRef: {{name: main}}
  httpPort: tcp:{narrow}:interface=127.0.0.1
  numEvents: 20
  numEventsMax: 40
"
    )
}

/// Waits until the pages have so many builds.
async fn have(port: u16, builds: usize) {
    let recent = format!("http://127.0.0.1:{port}/one_line_per_build?numbuilds=1000");
    let said = format!("the last {builds} to finish");
    wait_until("the pages have every build", Duration::from_secs(300), async || {
        reqwest::get(&recent).await.ok()?.text().await.ok()?.contains(&said).then_some(())
    })
    .await;
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (port, narrow) = (free_port(), free_port());
        let (truth, running) = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let mut lab = Lab::start(folder.path(), 0.1, &["--extra-builders", "1"]).await;
            lab.grow_old(OLD, &["--apart", APART]).await;
            let text = manifests(lab.port(), port, narrow);
            let mut standalone = Standalone::start(folder.path(), "data", &text);
            standalone.connected().await;
            // It follows the master once it shows the past: what comes now is seen as it happens.
            have(port, OLD).await;
            lab.restart_worker("birch").await;
            lab.force_integration().await;
            let acts = "commits,branch,library,results,try,cancel";
            let mut scenario = lab.scenario(1, acts);
            let ended = wait_until("the scenario ends", Duration::from_secs(300), async || {
                scenario.ended()
            });
            assert!(ended.await.success(), "{}", scenario.printed());
            let truth = Truth::ask(&lab).await;
            assert!(truth.builds.len() > OLD + 20, "{} builds", truth.builds.len());
            for port in [port, narrow] {
                have(port, truth.builds.len()).await;
            }
            (truth, (standalone, lab, folder))
        });
        Self { runtime, truth, port, narrow, running: Mutex::new(Some(running)) }
    }

    pub fn get(&self, port: u16, path: &str) -> String {
        let url = format!("http://127.0.0.1:{port}/{path}");
        self.runtime.block_on(async {
            let answer = reqwest::get(&url).await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert_eq!(status, 200, "{url}: {text}");
            text
        })
    }

    pub fn page(&self, query: &str) -> Page {
        Page::read(self.get(self.port, &format!("waterfall?{query}")))
    }

    /// The master's builds that are so: some, and not all.
    pub fn some(&self, is: impl Fn(&Build) -> bool) -> BTreeSet<Key> {
        let keys: BTreeSet<Key> =
            self.truth.builds.iter().filter(|b| is(b)).map(Build::key).collect();
        assert!(!keys.is_empty(), "the master has no such build");
        assert!(keys.len() < self.truth.builds.len(), "all of the master's builds are such");
        keys
    }

    /// Names of the builders that are so, sorted: some, and not all.
    pub fn builders(&self, is: impl Fn(&truth::Builder) -> bool) -> Vec<String> {
        let mut names: Vec<String> =
            self.truth.builders.iter().filter(|b| is(b)).map(|b| b.name.clone()).collect();
        names.sort();
        assert!(!names.is_empty() && names.len() < self.truth.builders.len(), "{names:?}");
        names
    }

    /// Changes that are so: some, and not all.
    pub fn changes(&self, is: impl Fn(&truth::Change) -> bool) -> BTreeSet<u64> {
        let ids: BTreeSet<u64> =
            self.truth.changes.iter().filter(|c| is(c)).map(|c| c.id).collect();
        assert!(!ids.is_empty() && ids.len() < self.truth.changes.len(), "{ids:?}");
        ids
    }

    /// A full minute at which about half of the builds had ended: the page's finest measure.
    pub fn middle(&self) -> i64 {
        let mut ends: Vec<i64> = self.truth.builds.iter().map(|b| b.end).collect();
        ends.sort_unstable();
        ends[ends.len() / 2] / 60 * 60
    }
}
