//! The operator as a process of its own, for one namespace of the shared cluster, with a way to the API server that
//! can be cut; and the pod of a feed, as a process with what the pod would have.

use crate::world::PATIENCE;
use e2e::{
    Link, Process, binary,
    cluster::{Cluster, Space},
    free_port, wait_until,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The operator's command, which can be ended and started again.
pub struct Running {
    folder: tempfile::TempDir,
    namespace: String,
    environment: Vec<(&'static str, String)>,
    link: Link,
    kubeconfig: PathBuf,
    feed: u16,
    metrics: u16,
    process: Process,
}

impl Running {
    /// Starts it with these variables. It is ready when this returns.
    pub async fn start(space: &Space, environment: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        fs::create_dir(&keys).unwrap();
        fs::write(keys.join("2026-01-01"), "a seed of thirty-two bytes or more").unwrap();
        let text = fs::read_to_string(space.cluster().kubeconfig()).unwrap();
        let (before, rest) = text.split_once("https://127.0.0.1:").unwrap();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        let link = Link::start(rest[..end].parse().unwrap()).await;
        let kubeconfig = folder.path().join("kubeconfig");
        let through = format!("{before}https://127.0.0.1:{}{}", link.port(), &rest[end..]);
        fs::write(&kubeconfig, through).unwrap();
        let (feed, metrics) = (free_port(), free_port());
        let namespace = space.name().to_owned();
        let process = spawn(folder.path(), &kubeconfig, &namespace, (feed, metrics), &environment);
        let mut running =
            Self { folder, namespace, environment, link, kubeconfig, feed, metrics, process };
        running.until_ready().await;
        running
    }

    /// Starts it again, once it has ended.
    pub async fn restart(&mut self) {
        let ports = (self.feed, self.metrics);
        let (folder, kubeconfig) = (self.folder.path(), &self.kubeconfig);
        self.process = spawn(folder, kubeconfig, &self.namespace, ports, &self.environment);
        self.until_ready().await;
    }

    async fn until_ready(&mut self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.metrics);
        wait_until("the operator is ready", PATIENCE, async || {
            assert!(self.process.ended().is_none(), "it ended\n{}", self.process.printed());
            reqwest::get(&url).await.ok()?.error_for_status().ok().map(drop)
        })
        .await;
    }

    /// The port of its figures.
    pub fn metrics(&self) -> u16 {
        self.metrics
    }

    /// The way to the API server.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Waits until it has ended by itself.
    pub async fn until_ended(&mut self) {
        wait_until("the operator ends", PATIENCE, async || self.process.ended().map(drop)).await;
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Its figures, as Prometheus reads them.
    pub async fn figures(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// The feed of the Master `main`, where the operator looks for feeds.
    pub async fn feed_of_main(&self, space: &Space) -> Process {
        feed_of_main(space, self.folder.path(), self.feed).await
    }
}

/// The feed of the Master `main` at this port: with its pod's manifest and keys, and its data in the folder. The
/// cluster is told that the pod is ready.
pub async fn feed_of_main(space: &Space, folder: &Path, port: u16) -> Process {
    let name = "buildbot-feed-main";
    let config = space.wait_for(name, "there is a manifest", PATIENCE, |_: &ConfigMap| true).await;
    let config = config.data.unwrap();
    let secret = space.wait_for(name, "there is a key", PATIENCE, |_: &Secret| true).await;
    let manifest = folder.join("manifest.yaml");
    fs::write(&manifest, &config["manifest.yaml"]).unwrap();
    let keys = folder.join("feed-keys");
    fs::create_dir_all(&keys).unwrap();
    for (name, key) in secret.data.unwrap() {
        fs::write(keys.join(name), key.0).unwrap();
    }
    let mut command = Command::new(binary());
    command.args(["feed", "--wait", "--metrics", "127.0.0.1:0", "--file"]).arg(manifest);
    command.arg("--keys").arg(keys).arg("--data").arg(folder.join("data"));
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    let feed = Process::start(&mut command, &folder.join("feed.out"));
    pod_is_ready(space, &format!("{name}-0")).await;
    feed
}

/// Tells the cluster that a pod is ready, which there is no node to do.
pub async fn pod_is_ready(space: &Space, name: &str) {
    space.wait_for(name, "there is a pod", PATIENCE, |_: &Pod| true).await;
    let ready = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    let patch = ["--subresource=status", "--type=merge", "--patch", ready];
    space.kubectl(&[&["patch", "pod", name], &patch[..]].concat());
}

fn spawn(
    folder: &Path,
    kubeconfig: &Path,
    namespace: &str,
    (feed, metrics): (u16, u16),
    environment: &[(&'static str, String)],
) -> Process {
    let mut command = Command::new(binary());
    command.args(["operator", "--image", "localhost/buildbot-status:test", "--keys"]);
    command.arg(folder.join("keys")).args(["--watch-namespaces", namespace]);
    command.args(["--lease-namespace", namespace, "--network-policies", "false"]);
    command.args(["--metrics", &format!("127.0.0.1:{metrics}")]);
    command.args(["--feeds-at", &format!("http://127.0.0.1:{feed}/")]);
    command.env("KUBECONFIG", kubeconfig);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::start(&mut command, &folder.join("operator.out"))
}

/// A rule of the API server: no status of a MailNotifier of the namespace is written. It goes when this is dropped.
pub struct Refusal {
    cluster: &'static Cluster,
    name: String,
}

impl Refusal {
    /// Makes it; it holds when this returns. There is a MailNotifier `mail`.
    pub async fn of_statuses(space: &Space) -> Self {
        let namespace = space.name();
        let (cluster, name) = (space.cluster(), format!("{namespace}-no-status"));
        cluster.apply(&format!(
            "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
    resourceRules:
      - apiGroups: [statustargets.dev]
        apiVersions: [v1alpha1]
        operations: [UPDATE]
        resources: [mailnotifiers/status]
  validations: [{{expression: 'false', message: no status is written}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"
        ));
        let patch = ["patch", "mailnotifier/mail", "--subresource=status", "--type=merge"];
        let trial = ["--patch", r#"{"status":{"delivered":1}}"#, "--dry-run=server"];
        wait_until("the rule holds", PATIENCE, async || {
            space.try_kubectl(&[&patch[..], &trial].concat()).err()
        })
        .await;
        Self { cluster, name }
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let _ = self.cluster.try_kubectl(&["delete", kind, &self.name, "--wait=false"]);
        }
    }
}
