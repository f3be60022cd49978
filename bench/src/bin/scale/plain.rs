//! The plain speed: a program that decides nothing and only applies, in the same order and as many at a time, what the
//! operator would: its own requests, written down for one resource of each kind, with other names in them.

use crate::{
    CONVERGED,
    cluster::{self, Sent, Writes},
    feeds::Feeds,
    fleet::{self, Fleet, MASTER, Member},
};
use axum::http::Request;
use bench::Measured;
use e2e::{cluster::Cluster, wait_until};
use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _, future::try_join_all, stream,
};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::PostParams,
    client::{Body, ClientBuilder},
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use operator::{Metrics, Seeds, Settings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Names that are nowhere else in what is sent.
const NAMESPACE: &str = "written-down";
const PATTERNS: [(&str, &str); 4] = [
    ("Master", "pattern-master"),
    ("WebStatus", "pattern-web"),
    ("MailNotifier", "pattern-mail"),
    ("HttpPush", "pattern-push"),
];

/// Applies what the operator would.
pub async fn run(fleet: &Fleet) -> Measured {
    let cluster = cluster::start(fleet.targets + fleet.namespaces)?;
    let client = cluster.client().await;
    let patterns = write_down(cluster, fleet).await?;
    let uids = fleet.create(&client).await?;
    let members = fleet.members();
    let plans: HashMap<Member, Plan> = members
        .iter()
        .map(|member| {
            let pattern = &patterns[member.kind];
            (member.clone(), pattern.of(member, &uids[member]))
        })
        .collect();
    let (send, mut ready) = mpsc::unbounded_channel();
    follow::<Deployment>(&client, send.clone());
    follow::<StatefulSet>(&client, send);

    let before = Writes::read(&client).await?;
    let begin = Instant::now();
    let concurrency = usize::from(Settings::new("").concurrency);
    let applied = try_join_all(PATTERNS.map(|(kind, _)| {
        let of_kind = members.iter().filter(move |member| member.kind == kind);
        let (plans, client) = (&plans, &client);
        stream::iter(of_kind).map(Ok).try_for_each_concurrent(
            concurrency,
            move |member| async move {
                for sent in &plans[member].first {
                    sent.send(client).await?;
                }
                Ok::<_, Fault>(())
            },
        )
    }));
    let later = stream::unfold(&mut ready, |ready| async { Some((ready.recv().await?, ready)) })
        .filter(|member| std::future::ready(plans.contains_key(member)))
        .take(members.len())
        .map(Ok)
        .try_for_each_concurrent(concurrency * PATTERNS.len(), |member| {
            let (plans, client) = (&plans, &client);
            async move {
                for sent in &plans[&member].later {
                    sent.send(client).await?;
                }
                Ok::<_, Fault>(())
            }
        });
    let applied = async {
        applied.await?;
        Ok::<_, Fault>(begin.elapsed())
    };
    let (applied, ()) = tokio::try_join!(applied, later)?;
    let took = begin.elapsed();
    let after = Writes::read(&client).await?;
    println!("all objects applied after {:.1} s", applied.as_secs_f64());
    println!("{CONVERGED}{:.1} s", took.as_secs_f64());
    println!(
        "{} writes, {} of them of a status",
        after.since(&before),
        after.statuses_since(&before)
    );
    Ok(())
}

/// The requests for one resource.
struct Plan {
    /// The objects, and the first status.
    first: Vec<Sent>,
    /// The other statuses, once its pods are ready.
    later: Vec<Sent>,
}

struct Pattern {
    name: &'static str,
    uid: String,
    plan: Plan,
}

impl Pattern {
    fn of(&self, member: &Member, uid: &str) -> Plan {
        let other = |text: &str| {
            text.replace(NAMESPACE, &member.namespace)
                .replace(self.name, &member.name)
                .replace(PATTERNS[0].1, MASTER)
                .replace(&self.uid, uid)
        };
        let all = |sent: &[Sent]| {
            let one = |sent: &Sent| Sent {
                path: other(&sent.path),
                content: sent.content.clone(),
                body: other(&sent.body),
            };
            sent.iter().map(one).collect()
        };
        Plan { first: all(&self.plan.first), later: all(&self.plan.later) }
    }
}

/// Has the operator reconcile one resource of each kind, and writes down what it sends.
async fn write_down(cluster: &Cluster, fleet: &Fleet) -> Measured<HashMap<&'static str, Pattern>> {
    let client = cluster.client().await;
    fleet::namespace(&client, NAMESPACE).await?;
    let members = PATTERNS.map(|(kind, name)| Member::new(kind, NAMESPACE, name));
    let consumers: Vec<String> = members.iter().filter_map(Member::consumer).collect();
    let besides: Vec<_> = consumers.iter().map(|name| (NAMESPACE, name.as_str())).collect();
    let feeds = Feeds::serve(fleet, &besides).await?;
    let mut uids = HashMap::new();
    for member in &members {
        let api = fleet::api(&client, member.kind, NAMESPACE)?;
        let object = member.object(PATTERNS[0].1)?;
        let made = api.create(&PostParams::default(), &object).await?;
        uids.insert(member.name.clone(), made.uid().unwrap_or_default());
    }
    let writer = Writer::default();
    let written: Client =
        ClientBuilder::try_from(cluster.config().await)?.with_layer(&writer).build();
    let settings = Settings {
        namespaces: [NAMESPACE.to_owned()].into(),
        feeds_at: Some(feeds.at.clone()),
        ..Settings::new("localhost/buildbot-status:bench")
    };
    let seeds = Seeds::new([("2026-01-01".to_owned(), vec![b'x'; 32])])?;
    let metrics = Metrics::register(&prometheus::Registry::new())?;
    let cancel = CancellationToken::new();
    let work = operator::run(written, settings, (seeds, None), metrics, || {}, cancel.clone());
    let work = tokio::spawn(work);
    wait_until("the patterns are told of", Duration::from_secs(120), async || {
        for member in &members {
            let api = fleet::api(&client, member.kind, NAMESPACE).ok()?;
            let data = api.get(&member.name).await.ok()?.data;
            let told = member.consumer().is_none() || data["status"]["delivered"].is_number();
            if !told || !fleet::is_ready(&data) {
                return None;
            }
        }
        Some(())
    })
    .await;
    cancel.cancel();
    work.await??;
    let all = writer.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(PATTERNS.map(|(kind, name)| (kind, pattern(name, uids[name].clone(), &all))).into())
}

/// Sorts out what was sent for one resource.
fn pattern(name: &'static str, uid: String, all: &[Sent]) -> Pattern {
    let (mut first, mut statuses) = (Vec::new(), Vec::new());
    for sent in all {
        let body: Value = serde_json::from_str(&sent.body).unwrap_or_default();
        if body["metadata"]["ownerReferences"][0]["uid"] == *uid {
            first.push(sent.clone());
        } else if sent.path.contains("/status?") && body["metadata"]["name"] == *name {
            statuses.push(sent.clone());
        }
    }
    // The last says that it is ready; those before, that its pods are not.
    let later = statuses.split_off(1.min(statuses.len()));
    first.append(&mut statuses);
    Pattern { name, uid, plan: Plan { first, later } }
}

/// Tells of each resource whose pods are ready, once.
fn follow<K>(client: &Client, ready: mpsc::UnboundedSender<Member>)
where
    K: Resource<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + serde::Serialize
        + Send
        + 'static,
{
    let api = Api::<K>::all(client.clone());
    tokio::spawn(async move {
        let mut told = std::collections::HashSet::new();
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        while let Some(event) = events.next().await {
            let Ok(Event::Apply(object) | Event::InitApply(object)) = event else { continue };
            let runs = serde_json::to_value(&object)
                .is_ok_and(|object| object["status"]["readyReplicas"].as_i64() >= Some(1));
            let namespace = object.namespace().unwrap_or_default();
            let owner = object.owner_references().first();
            let kind = owner.and_then(|o| PATTERNS.iter().find(|(kind, _)| *kind == o.kind));
            let (Some(owner), Some((kind, _)), true) = (owner, kind, runs) else { continue };
            if told.insert((namespace.clone(), object.name_any())) {
                let _ = ready.send(Member::new(kind, &namespace, &owner.name));
            }
        }
    });
}

/// A client's layer that writes down each PATCH.
#[derive(Clone, Default)]
struct Writer(Arc<Mutex<Vec<Sent>>>);

impl<S> Layer<S> for Writer {
    type Service = Written<S>;

    fn layer(&self, inner: S) -> Written<S> {
        Written { inner, writer: self.clone() }
    }
}

#[derive(Clone)]
struct Written<S> {
    inner: S,
    writer: Writer,
}

impl<S> Service<Request<Body>> for Written<S>
where
    S: Service<Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        // What the operator sends is all there already.
        let bytes = body.collect_bytes().now_or_never().and_then(Result::ok).unwrap_or_default();
        if parts.method == axum::http::Method::PATCH {
            let content = parts.headers.get("content-type").and_then(|v| v.to_str().ok());
            let sent = Sent {
                path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                content: content.unwrap_or_default().to_owned(),
                body: String::from_utf8_lossy(&bytes).into_owned(),
            };
            self.writer.0.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        }
        self.inner.call(Request::from_parts(parts, Body::from(bytes)))
    }
}
