//! The operator, a master with its workers, and the four kinds: what the tests of this program share.

use e2e::{
    FinishedBuild,
    cluster::{Cluster, Lab, Mailbox, Receiver, Space, Tier, Version},
    wait_until,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Runtime;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// The namespace, the release and the Deployment of the operator, as `docs/install.md` calls them.
pub const SYSTEM: &str = "buildbot-status";
pub const KINDS: &str = "buildbot-status-crds";
pub const OPERATOR: &str = "buildbot-status-operator";
/// What the operator's objects have.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=buildbot-status-operator";

/// What the tests share.
pub struct World {
    pub runtime: Runtime,
    pub space: &'static Space,
    pub lab: Lab<'static>,
    mailbox: Mailbox<'static>,
    receiver: Receiver<'static>,
    seed: AtomicU32,
    /// How often a process was killed that could repeat a message because of it.
    kills: AtomicU32,
}

static WORLD: OnceLock<Option<World>> = OnceLock::new();

/// Leaves no namespace behind on a cluster that stays.
pub fn end() {
    if let Some(Some(world)) = WORLD.get() {
        world.space.delete();
    }
}

/// Made by whoever needs it first; not again when that fails.
pub fn world() -> &'static World {
    let world = WORLD.get_or_init(|| panic::catch_unwind(World::new).ok());
    world.as_ref().expect("the operator or its peers did not start: the first message says why")
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let cluster = Cluster::shared(Tier::Node);
        let space: &'static Space = Box::leak(Box::new(runtime.block_on(async {
            let mut space = Space::new(cluster, "world").await;
            space.watch(SYSTEM);
            space
        })));
        // What is leaked is not dropped, so it keeps no logs by itself.
        let world = panic::catch_unwind(panic::AssertUnwindSafe(|| Self::within(runtime, space)));
        world.unwrap_or_else(|panic| {
            space.keep_logs("world");
            space.delete();
            panic::resume_unwind(panic)
        })
    }

    fn within(runtime: Runtime, space: &'static Space) -> Self {
        install(space.cluster(), &Version::present(space.cluster()));
        let (lab, mailbox, receiver) = runtime.block_on(async {
            let lab = Lab::start(space).await;
            let mailbox = Mailbox::start(space).await;
            let receiver = Receiver::start(space).await;
            (lab, mailbox, receiver)
        });
        let seed = AtomicU32::new(1);
        let world = Self { runtime, space, lab, mailbox, receiver, seed, kills: AtomicU32::new(0) };
        space.apply(&world.manifests("Pages of the first day"));
        world.all_ready();
        world
    }

    /// The Secret and the four kinds.
    pub fn manifests(&self, title: &str) -> String {
        format!(
            "{}---\n{}",
            secret("Bearer first"),
            resources(&self.lab.url(), &self.mailbox, &self.receiver.url(), &self.host(), title)
        )
    }

    /// The host of the pages.
    pub fn host(&self) -> String {
        format!("pages.{}.example", self.space.name())
    }

    /// Waits until all resources say that they are ready.
    pub fn all_ready(&self) {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let kinds =
            "masters,webstatuses,mailnotifiers,httppushes,gerritpushes,githubstatuses,statuspushes";
        self.space.kubectl(&["wait", "--for=condition=Ready", kinds, "--all", &timeout]);
    }

    /// Something that could make a message come twice.
    pub fn killed(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a change to the master, waits for its builds, and for what has to be told of them: each build that ever
    /// ended is told of in a mail and a push; no more are repeated than processes were killed.
    pub async fn a_change_is_told(&self) {
        self.lab.commit(self.seed.fetch_add(1, Ordering::Relaxed)).await;
        let builds = self.lab.finished().await.unwrap();
        let wanted: BTreeSet<(String, u64)> =
            builds.iter().map(|build| (build.builder.clone(), build.number)).collect();
        wait_until("a mail and a push for each build", PATIENCE, async || {
            let told = self.mailed(&builds).await?.len() == builds.len()
                && finished(&self.packets().await?) == wanted;
            told.then_some(())
        })
        .await;
        let (repeats, kills) = (self.repeats().await, self.kills.load(Ordering::Relaxed));
        assert!(repeats <= kills as usize, "{repeats} mails came again after {kills} kills");
    }

    /// How many mails came that had come before.
    pub async fn repeats(&self) -> usize {
        let builds = self.lab.finished().await.unwrap();
        self.mailed(&builds).await.unwrap().values().map(|times| times - 1).sum()
    }

    /// Message-IDs, and how often each came.
    async fn mailed(&self, builds: &[FinishedBuild]) -> Option<BTreeMap<String, usize>> {
        let mut ids = BTreeMap::new();
        for mail in self.mailbox.mails().await? {
            *ids.entry(mail.header("Message-ID")).or_default() += 1;
        }
        assert!(ids.len() <= builds.len(), "more mails than builds: {ids:?}");
        Some(ids)
    }

    /// Every packet that was pushed; `None` while the receiver does not answer.
    pub async fn packets(&self) -> Option<Vec<Value>> {
        self.receiver.packets().await
    }

    /// A page, from within the cluster.
    pub async fn page(&self, path: &str) -> Option<String> {
        self.space.get("buildbot-web-pages:80", path).await
    }

    /// The pods of a component, by name with their UIDs; those that are ending do not count.
    pub fn pods(&self, component: &str) -> BTreeMap<String, String> {
        let selector = format!("{MANAGED},app.kubernetes.io/component={component}");
        let text =
            self.space.kubectl(&["get", "pods", "--selector", &selector, "--output", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        let pods = list["items"].as_array().unwrap().iter();
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| {
                let text = |name: &str| pod["metadata"][name].as_str().unwrap().to_owned();
                (text("name"), text("uid"))
            })
            .collect()
    }
}

/// Both charts, as `docs/install.md` says, with the image of the same version.
pub fn install(cluster: &Cluster, version: &Version) {
    cluster.helm(&["upgrade", "--install", KINDS, &version.chart(KINDS), "--wait"]);
    let (repository, tag) = version.image().rsplit_once(':').unwrap();
    let repository = format!("image.repository={repository}");
    let tag = format!("image.tag={tag}");
    let values = ["--set", &repository, "--set", &tag, "--set", "image.pullPolicy=IfNotPresent"];
    let place = ["--namespace", SYSTEM, "--create-namespace", "--wait", "--timeout", "3m"];
    let chart = version.chart(OPERATOR);
    cluster.helm(&[&["upgrade", "--install", SYSTEM, &chart], &place[..], &values[..]].concat());
}

/// The Secret that pushes are sent with.
pub fn secret(authorization: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: receiver}}
stringData: {{authorization: {authorization}}}
"
    )
}

fn resources(master: &str, mailbox: &Mailbox<'_>, push: &str, host: &str, title: &str) -> String {
    let (smtp, port) = (mailbox.host(), mailbox.port());
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main}}
spec: {{url: \"{master}\"}}
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {{name: pages}}
spec:
  masterRef: {{name: main}}
  title: {title}
  ingress: {{host: {host}}}
---
apiVersion: statustargets.dev/v1alpha1
kind: MailNotifier
metadata: {{name: mail}}
spec:
  masterRef: {{name: main}}
  fromaddr: buildbot@example.org
  sendToInterestedUsers: false
  extraRecipients: [list@example.org]
  mode: [failing, passing, warnings, exception]
  relayhost: {smtp}
  smtpPort: {port}
---
apiVersion: statustargets.dev/v1alpha1
kind: HttpPush
metadata: {{name: push}}
spec:
  masterRef: {{name: main}}
  serverUrl: {push}
  allowPrivateAddresses: true
  bufferDelay: 200ms
  retryDelay: 1s
  authorizationSecretRef: {{name: receiver, key: authorization}}
"
    )
}

/// Builder and number of each build whose end was pushed.
pub fn finished(packets: &[Value]) -> BTreeSet<(String, u64)> {
    let ends = packets.iter().filter(|packet| packet["event"] == "buildFinished");
    ends.map(|packet| {
        let build = &packet["payload"]["build"];
        (build["builderName"].as_str().unwrap().to_owned(), build["number"].as_u64().unwrap())
    })
    .collect()
}
