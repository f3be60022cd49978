//! The resources that are measured with: in each namespace a Master, some pages, mail and pushes.

use bench::Measured;
use crds::{HttpPush, MailNotifier, Master, WebStatus};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, ObjectMeta, PostParams},
    core::DynamicObject,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Requests of this program at a time while it makes the resources.
const AT_A_TIME: usize = 32;
/// The name of each namespace's Master.
pub const MASTER: &str = "main";

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Without the Masters.
    pub targets: usize,
    /// Each has a Master.
    pub namespaces: usize,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Member {
    /// A resource.
    pub fn new(kind: &'static str, namespace: &str, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.into() }
    }

    /// What its feed knows it by.
    pub fn consumer(&self) -> Option<String> {
        let kind = match self.kind {
            "MailNotifier" => "mail",
            "HttpPush" => "http_push",
            _ => return None,
        };
        Some(format!("{kind}/{}", self.name))
    }

    /// Its manifest, with this Master.
    pub fn object(&self, master: &str) -> Measured<DynamicObject> {
        let mut spec = match self.kind {
            "Master" => {
                json!({"url": "http://buildbot.example.org/", "storage": {"ephemeral": true}})
            }
            "WebStatus" => json!({"title": "Builds"}),
            "MailNotifier" => json!({
                "fromaddr": "buildbot@example.org", "lookup": "example.org",
                "mode": ["problem", "exception"], "relayhost": "smtp.example.org",
            }),
            _ => json!({"serverUrl": "https://dashboard.example.org/submit"}),
        };
        if self.kind != "Master" {
            spec["masterRef"] = json!({ "name": master });
        }
        let value = json!({
            "apiVersion": crds::API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        });
        Ok(serde_json::from_value(value)?)
    }
}

/// The kinds, as the API server knows them.
pub fn kinds() -> [(&'static str, ApiResource); 4] {
    [
        ("Master", ApiResource::erase::<Master>(&())),
        ("WebStatus", ApiResource::erase::<WebStatus>(&())),
        ("MailNotifier", ApiResource::erase::<MailNotifier>(&())),
        ("HttpPush", ApiResource::erase::<HttpPush>(&())),
    ]
}

/// Resources of a kind in a namespace.
pub fn api(client: &Client, kind: &str, namespace: &str) -> Measured<Api<DynamicObject>> {
    let found = kinds().into_iter().find(|(name, _)| *name == kind);
    let (_, resource) = found.ok_or_else(|| format!("there is no kind {kind}"))?;
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// Makes a namespace.
pub async fn namespace(client: &Client, name: &str) -> Measured {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

impl Fleet {
    /// The name of a namespace.
    pub fn namespace(&self, number: usize) -> String {
        format!("fleet-{number:03}")
    }

    /// All of them, Masters first.
    pub fn members(&self) -> Vec<Member> {
        let of = |n: usize| self.namespace(n % self.namespaces);
        let masters = (0..self.namespaces).map(|n| Member::new("Master", &of(n), MASTER));
        let targets = (0..self.targets).map(|n| {
            let kind = match (n / self.namespaces) % 25 {
                0 => "WebStatus",
                n if n % 2 == 0 => "MailNotifier",
                _ => "HttpPush",
            };
            Member::new(kind, &of(n), format!("target-{n:05}"))
        });
        masters.chain(targets).collect()
    }

    /// Makes all of them; their UIDs.
    pub async fn create(&self, client: &Client) -> Measured<HashMap<Member, String>> {
        for number in 0..self.namespaces {
            namespace(client, &self.namespace(number)).await?;
        }
        stream::iter(self.members())
            .map(|member| async move {
                let api = api(client, member.kind, &member.namespace)?;
                let made = api.create(&PostParams::default(), &member.object(MASTER)?).await?;
                Ok((member, made.uid().unwrap_or_default()))
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }
}

/// How many resources are ready, as a watch tells.
pub struct Ready {
    seen: watch::Receiver<usize>,
}

impl Ready {
    /// Watches all kinds.
    pub fn follow(client: &Client) -> Self {
        let all = Arc::new(Mutex::new(HashMap::<(String, String), bool>::new()));
        let (told, seen) = watch::channel(0);
        for (kind, resource) in kinds() {
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
            let (all, told) = (Arc::clone(&all), told.clone());
            tokio::spawn(async move {
                let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
                while let Some(event) = events.next().await {
                    if let Ok(Event::Apply(object) | Event::InitApply(object)) = event {
                        let name = object.name_any();
                        let key =
                            (object.namespace().unwrap_or_default(), format!("{kind}/{name}"));
                        let ready = is_ready(&object.data);
                        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                        let before = all.insert(key, ready).unwrap_or_default();
                        told.send_modify(|n| *n = *n + usize::from(ready) - usize::from(before));
                    }
                }
            });
        }
        Self { seen }
    }

    /// Waits until so many are ready.
    pub async fn until(&mut self, count: usize) -> Measured {
        self.seen.wait_for(|ready| *ready >= count).await?;
        Ok(())
    }
}

/// Whether an object says that it is ready.
pub fn is_ready(data: &Value) -> bool {
    let conditions = data["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}
