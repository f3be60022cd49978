//! Against a real Buildbot master: nothing lost and nothing twice, whatever is cut or killed.
//!
//! `BUILDBOT_VENV` names a Python environment with Buildbot; without it these are skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/buildbot.rs"]
mod buildbot;
mod support;

use buildbot::Buildbot;
use master::{Client, LogSource, Login, Settings, StateKind, run_with};
use model::{Event, LogKind, Outcome};
use serde_json::json;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use support::{Memory, Wire};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const QUICK: &str = "quick one/ä";

fn settings(address: SocketAddr, password: &str) -> Settings {
    let mut settings = Settings::new(format!("http://{address}/").parse().unwrap());
    settings.login = Some(Login { username: "reader".into(), password: password.into() });
    settings.ping = Duration::from_secs(1);
    settings
}

struct Follower {
    client: Client,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    fn of(settings: Settings, sink: Memory) -> Self {
        let client = Client::new(&settings).unwrap();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(run_with(client.clone(), settings, sink, cancel.clone()));
        Self { client, cancel, task }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_finished_build_comes_once_though_the_wire_is_cut_and_the_master_killed() {
    let Some(venv) = Buildbot::venv() else { return };
    let mut master = Buildbot::start(&venv).await;
    for outcome in ["success", "failure", "success"] {
        master.force(QUICK, outcome).await;
    }
    master.idle().await;
    let wire = Wire::to(master.address).await;
    let journal = Memory::default();
    let mut follower = Follower::of(settings(wire.address, "se cret"), journal.clone());
    journal.until("history", |s| s.history.len() == 3 && s.world.highest.history.0 == 0).await;
    assert_eq!(journal.store().finished().len(), 0, "what was before is no event");
    assert_eq!(journal.store().world.title, "Test <b>master</b>");

    master.change("first", "r1").await;
    journal.until("the change's build", |s| s.finished().len() == 1).await;
    for (n, outcome) in ["warnings", "failure", "exception", "skipped"].into_iter().enumerate() {
        master.force(QUICK, outcome).await;
        wire.cut();
        master.change("more", &format!("r2{n}")).await;
    }
    master.idle().await;

    // The process is restarted: its journal is all that is left.
    follower.stop().await;
    master.force(QUICK, "warnings").await;
    master.idle().await;
    follower = Follower::of(settings(wire.address, "se cret"), journal.clone());

    // The master dies in the middle of a build, and does that one again.
    master.force("slow", "success").await;
    let slow =
        |s: &support::Store| s.world.open.values().any(|b| b.builder.name.as_str() == "slow");
    journal.until("the slow build", slow).await;
    master.kill();
    journal.until("the loss is noticed", |s| s.saw(StateKind::Restarting)).await;
    master.run().await;
    let again = |s: &support::Store| {
        let retried = s.finished().iter().any(|b| b.outcome == Some(Outcome::Retry));
        retried && slow(s)
    };
    journal.until("the slow build's second try", again).await;
    let open = *journal.store().world.open.keys().next().unwrap();
    master.act(&format!("builds/{open}"), "stop", &json!({"reason": "enough"})).await;
    master.idle().await;

    let builds = master.get("builds").await;
    let truth: BTreeMap<u64, i64> = builds["builds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| (b["buildid"].as_u64().unwrap(), b["results"].as_i64().unwrap()))
        .filter(|(id, _)| *id > 3)
        .collect();
    journal.until("all finished builds", |s| s.finished().len() >= truth.len()).await;
    journal
        .until("nothing is open", |s| s.world.open.is_empty() && s.world.buildsets.is_empty())
        .await;
    follower.stop().await;
    let store = journal.store();
    let mut told: Vec<(u64, i64)> =
        store.finished().iter().map(|b| (b.id.0, i64::from(b.outcome.unwrap().code()))).collect();
    told.sort_unstable();
    assert_eq!(told, truth.into_iter().collect::<Vec<_>>());
    let mut keys: Vec<_> = store
        .events
        .iter()
        .map(Event::key)
        .filter(|k| !matches!(k.0, "worker" | "builder"))
        .collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|two| two[0] != two[1]));
    for build in store.finished() {
        assert!(!build.buildset.reason.is_empty(), "{}", build.id);
        if build.builder.name.as_str() == QUICK {
            let names: Vec<&str> = build.steps.iter().map(|s| s.name.as_str()).collect();
            assert_eq!(names, ["worker_preparation", "shell", "outcome"]);
            let logs: Vec<_> = build.steps[2].logs.iter().map(|l| (l.kind, l.lines)).collect();
            assert_eq!(logs, [(LogKind::Stdio, 3), (LogKind::Text, 1)]);
            assert_eq!(build.properties.text("buildername").as_deref(), Some(QUICK));
            assert!(build.previous.is_some());
        }
        if build.buildset.scheduler.as_deref() == Some("changes") {
            assert_eq!(build.changes.len(), 1);
            assert_eq!(build.owners(), ["Own Er <own@example.org>"]);
            assert_eq!(build.blamed_names(), ["Ann"]);
        }
    }
    assert_eq!(store.database, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_is_told_as_such_logs_are_read_and_another_database_is_another_epoch() {
    let Some(venv) = Buildbot::venv() else { return };
    let master = Buildbot::start(&venv).await;
    let journal = Memory::default();
    let follower = Follower::of(settings(master.address, "wrong"), journal.clone());
    journal.until("denied", |s| s.saw(StateKind::Denied)).await;
    follower.stop().await;
    assert_eq!(journal.store().commits, 0);
    assert!(journal.store().states.iter().all(|s| !s.text.contains("wrong")));

    let follower = Follower::of(settings(master.address, "se cret"), journal.clone());
    journal.until("live", support::Store::is_live).await;
    master.force(QUICK, "success").await;
    journal.until("a build", |s| s.finished().len() == 1).await;
    let log = journal.store().finished()[0].steps[2].logs[0].id;
    let text = follower.client.lines(log, 1, 10).await.unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["oone", "otwo"]);
    assert_eq!(follower.client.lines(log, 9, 10).await.unwrap().count(), 0);
    follower.stop().await;
    drop(master);

    let master = Buildbot::start(&venv).await;
    master.force(QUICK, "failure").await;
    master.idle().await;
    let follower = Follower::of(settings(master.address, "se cret"), journal.clone());
    journal.until("the other's history", |s| s.history.len() == 1).await;
    follower.stop().await;
    let store = journal.store();
    assert_eq!((store.database, store.finished().len()), (1, 1));
}
