//! The control plane, its pretend nodes, and what it says of itself.

use bench::Measured;
use e2e::cluster::{Cluster, Tier};
use kube::{Client, client::Body};
use std::{collections::BTreeMap, path::Path, process::Command};

/// Pods that a pretend node holds.
const PODS: usize = 1000;

/// A control plane of this process's own, with our kinds and nodes for so many pods.
pub fn start(pods: usize) -> Measured<&'static Cluster> {
    let cluster = Cluster::shared(Tier::Control);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/cluster/kwok-nodes.sh");
    let mut command = Command::new(script);
    command.env("KSTATE", cluster.state().ok_or("the cluster must be of this program's own")?);
    command.arg((pods / PODS + 2).to_string());
    if !command.status()?.success() {
        return Err("the pretend nodes did not start".into());
    }
    cluster.apply(&crds::yaml()?);
    let all = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    cluster.kubectl(&all);
    Ok(cluster)
}

/// Requests that changed something, as the API server counts them.
#[derive(Clone, Debug, Default)]
pub struct Writes(BTreeMap<String, f64>);

impl Writes {
    /// Up to now: server-side applies, and all changes of our kinds. Nobody else in the cluster does either.
    pub async fn read(client: &Client) -> Measured<Self> {
        let request = axum::http::Request::get("/metrics").body(Vec::new())?;
        let text = client.request_text(request).await?;
        let mut writes = BTreeMap::new();
        for line in text.lines() {
            let Some(labels) = line.strip_prefix("apiserver_request_total{") else { continue };
            let Some((labels, value)) = labels.rsplit_once("} ") else { continue };
            let label = |name: &str| {
                let rest = labels.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
                rest.split('"').next().unwrap_or_default().to_owned()
            };
            let verb = label("verb");
            let ours = label("group") == "statustargets.dev"
                && ["POST", "PUT", "PATCH", "DELETE"].contains(&verb.as_str());
            if verb == "APPLY" || ours {
                let what = match label("subresource").as_str() {
                    "" => label("resource"),
                    part => format!("{}/{part}", label("resource")),
                };
                *writes.entry(what).or_default() += value.parse::<f64>()?;
            }
        }
        Ok(Self(writes))
    }

    /// How many since `before`.
    pub fn since(&self, before: &Self) -> f64 {
        self.0.values().sum::<f64>() - before.0.values().sum::<f64>()
    }

    /// How many of them were of a status, since `before`.
    pub fn statuses_since(&self, before: &Self) -> f64 {
        let of = |writes: &Self| -> f64 {
            writes.0.iter().filter(|(what, _)| what.ends_with("/status")).map(|(_, n)| n).sum()
        };
        of(self) - of(before)
    }
}

/// A request as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Path and query.
    pub path: String,
    /// `Content-Type`.
    pub content: String,
    /// JSON.
    pub body: String,
}

impl Sent {
    /// Sends it as a PATCH.
    pub async fn send(&self, client: &Client) -> Measured {
        let request = axum::http::Request::patch(&self.path)
            .header("content-type", &self.content)
            .header("accept", "application/json")
            .body(Body::from(self.body.clone().into_bytes()))?;
        let answer = client.send(request).await?;
        let status = answer.status();
        // Read to its end, as the operator does.
        let body = answer.into_body().collect_bytes().await?;
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{}: {status}: {}", self.path, String::from_utf8_lossy(&body)).into())
    }
}
