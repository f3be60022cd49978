//! One Gerrit serves all tests; each has changes of its own.

use crds::GerritPushSpec;
use delivery::{SendError, Sent, Target as _};
use e2e::{Change, Gerrit, Robot};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Buildset, Event, Identity, Links, Outcome, Position,
    Properties, Property, Record, RequestId, Timestamp,
};
use render::Site;
use serde_json::{Value, json};
use std::{
    panic,
    sync::{Arc, Mutex, OnceLock},
};
use targets::{
    About,
    gerrit::{GerritPush, Message, Secrets},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What the tests share.
pub struct World {
    pub runtime: Runtime,
    /// May vote from -1 to +1.
    pub robot: Robot,
    pub known_hosts: String,
    http: u16,
    ssh: u16,
    pub running: Mutex<Option<(Arc<Gerrit>, TempDir)>>,
}

pub static WORLD: OnceLock<Option<World>> = OnceLock::new();

/// Made by whoever needs it first; not again when that fails.
pub fn world() -> &'static World {
    let world = WORLD.get_or_init(|| panic::catch_unwind(World::new).ok());
    world.as_ref().expect("Gerrit did not start: the first message says why")
}

/// How a review is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Ssh,
    Rest,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (gerrit, robot) = runtime.block_on(async {
            let gerrit = Gerrit::start(folder.path()).await;
            gerrit.verified().await;
            gerrit.grant("Service Users", "Verified").await;
            gerrit.project("demo").await;
            gerrit.project("platform/build").await;
            let robot = gerrit.robot("ci-bot", "ed25519").await;
            (gerrit, robot)
        });
        let (http, ssh, known_hosts) = (gerrit.http(), gerrit.ssh(), gerrit.known_hosts());
        let running = Mutex::new(Some((Arc::new(gerrit), folder)));
        Self { runtime, robot, known_hosts, http, ssh, running }
    }

    pub fn gerrit(&self) -> Arc<Gerrit> {
        Arc::clone(&self.running.lock().unwrap().as_ref().unwrap().0)
    }

    /// What the robot logs in with.
    pub fn secrets(&self) -> Secrets {
        Secrets {
            identity: Some(self.robot.identity.clone()),
            known_hosts: Some(self.known_hosts.clone()),
            password: Some(self.robot.password.clone()),
            ca: None,
        }
    }

    pub fn spec(&self, way: Way, more: &Value) -> GerritPushSpec {
        let secret = |key: &str| json!({ "name": "gerrit", "key": key });
        let mut spec = json!({
            "masterRef": { "name": "main" }, "username": self.robot.name, "notify": "NONE",
        });
        let own = match way {
            Way::Ssh => json!({
                "server": "127.0.0.1", "port": self.ssh,
                "identitySecretRef": secret("identity"),
                "knownHostsSecretRef": secret("known_hosts"),
            }),
            Way::Rest => json!({ "http": {
                "url": format!("http://127.0.0.1:{}/", self.http),
                "passwordSecretRef": secret("password"),
            } }),
        };
        let fields = spec.as_object_mut().unwrap();
        fields.extend(own.as_object().unwrap().clone());
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    pub fn target(&self, way: Way, more: &Value) -> GerritPush {
        target(&self.spec(way, more), &self.secrets())
    }

    /// The robot's messages on a change, oldest first.
    pub async fn said(&self, change: &Change) -> Vec<String> {
        let messages = self.gerrit().messages(change, &self.robot.name).await;
        messages.into_iter().map(|(text, _)| text).collect()
    }

    /// The robot's votes on a change: `Verified+1`.
    pub async fn voted(&self, change: &Change) -> Vec<String> {
        let all = self.gerrit().votes(change).await;
        let own = all.into_iter().filter(|(_, name, _)| *name == self.robot.name);
        own.map(|(label, _, value)| format!("{label}{value:+}")).collect()
    }
}

pub fn target(spec: &GerritPushSpec, secrets: &Secrets) -> GerritPush {
    let site = Site {
        title: "Demo".into(),
        links: Some(Links::web_status("http://ci.example.org/")),
        ..Site::default()
    };
    GerritPush::new(spec, secrets, About { site, ..About::default() }.fixed()).unwrap()
}

/// Properties, as texts and numbers.
pub fn properties(all: &Value) -> Properties {
    let all = all.as_object().unwrap().iter();
    let all = all.map(|(name, value)| (name.clone(), Property(value.clone(), "Change".into())));
    Properties(all.collect())
}

/// What Buildbot's change source says of a change.
pub fn event_of(change: &Change) -> Value {
    json!({
        "event.change.id": format!("I{}", change.number),
        "event.change.number": change.number,
        "event.change.project": change.project,
        "event.patchSet.revision": change.revision,
    })
}

/// A finished build about a change.
pub fn build(change: &Change, builder: &str, outcome: Outcome) -> Build {
    let id = u64::try_from(builder.len()).unwrap() + 40;
    let text = match outcome {
        Outcome::Success => "build successful",
        Outcome::Warnings => "warnings test",
        _ => "failed test",
    };
    Build {
        id: BuildId(id),
        number: 7,
        builder: BuilderRef { id: BuilderId(id), name: builder.into(), tags: vec!["unit".into()] },
        request: RequestId(id),
        started_at: Timestamp(1_795_412_300),
        complete_at: Some(Timestamp(1_795_412_400)),
        outcome: Some(outcome),
        text: text.into(),
        properties: properties(&event_of(change)),
        ..Build::default()
    }
}

pub fn record(event: Event) -> Record {
    Record {
        position: Position { epoch: 1, seq: 1 },
        identity: Identity::of(&event, "0d3c", 1, 1),
        journaled_ms: 1_795_412_400_042,
        event,
    }
}

pub fn finished(build: Build) -> Record {
    record(Event::BuildFinished { build: Box::new(build) })
}

/// What a target makes of a finished build.
pub fn composed(target: &GerritPush, build: Build) -> Message {
    let record = finished(build);
    assert!(target.decide(&record));
    target.compose(&record, Vec::new()).unwrap().expect("something to say")
}

/// A finished build's review, sent.
pub async fn review(target: &GerritPush, build: Build) -> Result<Sent, SendError> {
    target.send(&mut composed(target, build)).await
}

/// The summary of a buildset of these builds, sent.
pub async fn summary(target: &GerritPush, builds: Vec<Build>) -> Result<Sent, SendError> {
    let outcome = builds.iter().filter_map(|build| build.outcome).max();
    let record = record(Event::BuildsetCompleted {
        buildset: Box::new(Buildset { outcome, ..Buildset::default() }),
    });
    assert!(target.decide(&record));
    let mut message = target.compose(&record, builds).unwrap().expect("something to say");
    target.send(&mut message).await
}
