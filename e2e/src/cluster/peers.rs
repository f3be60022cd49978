//! The peers as pods: a real Buildbot master with workers, a real SMTP server, a receiver of pushes.

use super::Space;
use crate::{FinishedBuild, Mail, wait_until};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::time::Duration;

/// A master starts in 10 seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Builders that build each commit on `main`.
const BUILDS_OF_A_COMMIT: usize = 3;

/// A pod with a Service of the same name. `ports` are those of the Service and of the pod.
fn pod(space: &Space, name: &str, arguments: &[&str], ports: &[u16], probe: &str) {
    let image = &space.cluster().images().lab;
    let ports: Vec<String> =
        ports.iter().map(|port| format!("{{name: p{port}, port: {port}}}")).collect();
    let arguments = serde_json::to_string(arguments).unwrap();
    space.apply(&format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{peer: {name}}}
  ports: [{}]
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{peer: {name}}}}}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 5
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: peer
    image: {image}
    imagePullPolicy: IfNotPresent
    args: {arguments}
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
    readinessProbe: {{{probe}, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 600}}
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, emptyDir: {{}}}}]
",
        ports.join(", ")
    ));
}

async fn ready(space: &Space, name: &str) {
    space.wait_for(name, &format!("the pod {name} is ready"), PATIENCE, is_ready).await;
}

/// Whether a pod is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// A master with two workers, two repositories and one builder `quick-00` beside the scenario's.
#[derive(Debug)]
pub struct Lab<'a>(&'a Space);

impl<'a> Lab<'a> {
    /// Starts them, and waits until the workers are connected.
    pub async fn start(space: &'a Space) -> Self {
        let url = format!("http://lab.{}.svc.cluster.local:8010/", space.name());
        let arguments = [
            "/lab/lab.py",
            "serve",
            "/data/lab",
            "--www",
            "8010",
            "--url",
            &url,
            "--extra-builders",
            "1",
        ];
        pod(space, "lab", &arguments, &[8010], "httpGet: {path: /api/v2/workers, port: 8010}");
        ready(space, "lab").await;
        let lab = Self(space);
        wait_until("both workers are connected", PATIENCE, async || {
            let workers = lab.get("workers").await?;
            let connected =
                |w: &&Value| w["connected_to"].as_array().is_some_and(|to| !to.is_empty());
            (workers["workers"].as_array()?.iter().filter(connected).count() == 2).then_some(())
        })
        .await;
        lab
    }

    /// The master's address in the cluster.
    pub fn url(&self) -> String {
        format!("http://lab.{}.svc.cluster.local:8010/", self.0.name())
    }

    /// A REST answer; `None` when the master does not give one.
    pub async fn get(&self, path: &str) -> Option<Value> {
        self.0.get_json("lab:8010", &format!("/api/v2/{path}")).await
    }

    /// Commits, tells the master of it, and waits until the commit's three builds have ended. The seed makes the
    /// commit's content.
    pub async fn commit(&self, seed: u32) {
        let before = self.finished().await.map_or(0, |builds| builds.len());
        let seed = seed.to_string();
        let python = ["/opt/python/bin/python", "/lab/scenario.py", "/data/lab"];
        let arguments =
            [&["exec", "lab", "--"], &python[..], &["--acts", "commit", "--seed", &seed]];
        self.0.kubectl(&arguments.concat());
        wait_until("the commit's builds have ended", PATIENCE, async || {
            (self.finished().await?.len() >= before + BUILDS_OF_A_COMMIT).then_some(())
        })
        .await;
    }

    /// Forces a build of `builder` on the branch `main` with these properties (at most three), and waits until it
    /// has ended; its number.
    pub async fn force(&self, builder: &str, properties: &[(&str, &str)]) -> u64 {
        let mut params = json!({ "branch": "main", "username": "Ines Duarte <ines@kestrel.example.org>", "reason": "A new build" });
        for (n, (name, value)) in properties.iter().enumerate() {
            params[format!("property{}_name", n + 1)] = json!(name);
            params[format!("property{}_value", n + 1)] = json!(value);
        }
        let builders = self.get("builders").await.unwrap();
        let found = builders["builders"].as_array().unwrap().iter().find(|b| b["name"] == builder);
        params["builderid"] = found.unwrap()["builderid"].clone();
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "force", "params": params });
        let before = self.finished().await.unwrap();
        let script = "import sys, urllib.request as u\n\
            r = u.Request('http://127.0.0.1:8010/api/v2/forceschedulers/force', sys.argv[1].encode(), \
            {'Content-Type': 'application/json'})\n\
            print(u.urlopen(r).read().decode())";
        let python =
            ["exec", "lab", "--", "/opt/python/bin/python", "-c", script, &call.to_string()];
        self.0.kubectl(&python);
        let ended = wait_until("the forced build has ended", PATIENCE, async || {
            let builds = self.finished().await?;
            builds.into_iter().find(|build| build.builder == builder && !before.contains(build))
        });
        ended.await.number
    }

    /// Every build that has ended, by id; `None` while the master does not answer.
    pub async fn finished(&self) -> Option<Vec<FinishedBuild>> {
        let builders = self.get("builders").await?;
        FinishedBuild::of(&builders, &self.get(FinishedBuild::PATH).await?)
    }
}

/// An SMTP server.
#[derive(Debug)]
pub struct Mailbox<'a>(&'a Space);

impl<'a> Mailbox<'a> {
    /// Starts it.
    pub async fn start(space: &'a Space) -> Self {
        let arguments = ["/lab/smtpd.py", "/data/mail", "--port", "2525", "--pages", "8080"];
        pod(space, "mailbox", &arguments, &[2525, 8080], "tcpSocket: {port: 2525}");
        ready(space, "mailbox").await;
        Self(space)
    }

    /// Its name in the cluster.
    pub fn host(&self) -> String {
        format!("mailbox.{}.svc.cluster.local", self.0.name())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        2525
    }

    /// Every message, in the order of arrival; `None` while the server does not answer.
    pub async fn mails(&self) -> Option<Vec<Mail>> {
        let texts = self.0.get_json("mailbox:8080", "/mails").await?;
        let texts = texts.as_array()?.iter().filter_map(Value::as_str);
        Some(texts.map(|text| Mail::new(&text.replace("\r\n", "\n"))).collect())
    }
}

/// An HTTP server that takes pushes in 0.8's form.
#[derive(Debug)]
pub struct Receiver<'a>(&'a Space);

impl<'a> Receiver<'a> {
    /// Starts it.
    pub async fn start(space: &'a Space) -> Self {
        pod(space, "receiver", &["/lab/receiver.py", "8080"], &[8080], "tcpSocket: {port: 8080}");
        ready(space, "receiver").await;
        Self(space)
    }

    /// Where pushes go.
    pub fn url(&self) -> String {
        format!("http://receiver.{}.svc.cluster.local:8080/push", self.0.name())
    }

    /// Every packet that was taken so far, each with the request's `authorization`; `None` while the server does not
    /// answer.
    pub async fn packets(&self) -> Option<Vec<Value>> {
        self.0.get_json("receiver:8080", "/packets").await?.as_array().cloned()
    }
}
