//! A namespace of one test.

use super::{Cluster, report};
use axum::http::Request;
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, PostParams},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    fmt::{self, Debug},
    thread,
    time::Duration,
};

/// The namespace, whose pods are held to the restricted Pod Security Standard. Dropping it deletes it; when a test
/// fails, logs and events are kept first.
pub struct Space {
    cluster: &'static Cluster,
    client: Client,
    name: String,
    watched: Vec<String>,
}

impl Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Space({})", self.name)
    }
}

impl Space {
    /// Makes one; `name` is the test's, in small letters and dashes.
    pub async fn new(cluster: &'static Cluster, name: &str) -> Self {
        let client = cluster.client().await;
        let name = format!("{name}-{:05x}", rand::random::<u32>() & 0xf_ffff);
        let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        Self { cluster, client, watched: vec![name.clone()], name }
    }

    /// When the test fails, logs of this namespace are kept as well.
    pub fn watch(&mut self, namespace: &str) {
        self.watched.push(namespace.to_owned());
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// A client with the administrator's rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Resources of a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), &self.name)
    }

    /// kubectl in this namespace; what it prints. The test fails when it does.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// kubectl in this namespace; what it prints, or what it says when it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.cluster.try_kubectl(&[&["--namespace", &self.name], arguments].concat())
    }

    /// `kubectl apply` of manifests that name no namespace.
    pub fn apply(&self, manifests: &str) {
        self.try_apply(manifests).unwrap_or_else(|said| panic!("{said}\n{manifests}"));
    }

    /// `kubectl apply`; what it says when it refuses.
    pub fn try_apply(&self, manifests: &str) -> Result<String, String> {
        let mut command = self.cluster.kubectl_command();
        command.args(["--namespace", &self.name, "apply", "--filename", "-"]);
        super::fed(&mut command, manifests)
    }

    /// Waits until a resource is as `right` asks, and gives it; panics with `what` and its last state when that takes
    /// longer than `patience`.
    pub async fn wait_for<K>(
        &self,
        name: &str,
        what: &str,
        patience: Duration,
        right: impl Fn(&K) -> bool + Send,
    ) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let condition = move |found: Option<&K>| found.is_some_and(&right);
        let waiting = await_condition(self.api::<K>(), name, condition);
        match tokio::time::timeout(patience, waiting).await {
            Ok(found) => found.unwrap().expect("the condition holds of a resource that is there"),
            Err(_) => {
                let last = self.api::<K>().get_opt(name).await;
                panic!("waited {} s in vain: {what}; last: {last:#?}", patience.as_secs())
            }
        }
    }

    /// Waits until a resource is gone.
    pub async fn wait_until_gone<K>(&self, name: &str, patience: Duration)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let gone = await_condition(self.api::<K>(), name, |found: Option<&K>| found.is_none());
        if tokio::time::timeout(patience, gone).await.is_err() {
            let last = self.api::<K>().get_opt(name).await;
            panic!("waited {} s in vain: {name} is gone; last: {last:#?}", patience.as_secs());
        }
    }

    /// What a Service of this namespace answers to a GET, by way of the apiserver; `None` while it does not.
    /// `service` is `NAME:PORT`.
    pub async fn get(&self, service: &str, path: &str) -> Option<String> {
        let namespace = &self.name;
        let url = format!("/api/v1/namespaces/{namespace}/services/{service}/proxy{path}");
        self.client.request_text(Request::get(url).body(Vec::new()).unwrap()).await.ok()
    }

    /// The same of a JSON document.
    pub async fn get_json(&self, service: &str, path: &str) -> Option<Value> {
        serde_json::from_str(&self.get(service, path).await?).ok()
    }
}

impl Space {
    /// Keeps logs and events of what failed.
    pub fn keep_logs(&self, test: &str) {
        report::keep(self.cluster, test, &self.watched);
    }

    /// Deletes the namespace. It goes in the cluster's own time: the next test has another.
    pub fn delete(&self) {
        let _ = self.cluster.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if thread::panicking() {
            self.keep_logs(&self.name);
        }
        self.delete();
    }
}
