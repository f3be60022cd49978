//! Asks each master's feed in turn how its readers fare.
//!
//! A feed is asked every half minute, and every few seconds while something about it is not ready.
//! What it says is kept; the resources about which it says something new are reconciled. Consumers
//! of resources that are gone are forgotten, so that they do not fill the journal.

use crate::{
    RunError,
    context::Context,
    kinds::{Kind, Registry, TargetSeen, feed_url},
    known::ResourceId,
};
use crds::Master;
use feed::{
    ConsumerStatus, Report,
    http::{
        api::{Consumers, Info},
        token::Right,
    },
};
use futures_util::{StreamExt as _, stream};
use kube::ResourceExt as _;
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// How often it is looked which feeds are to be asked.
const TICK: Duration = Duration::from_secs(1);
/// How often a feed is asked while something about it is not ready.
const SOON: Duration = Duration::from_secs(5);
/// How many feeds are asked at a time.
const AT_A_TIME: usize = 16;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const ANSWER: usize = 32 << 20;
/// For how long a consumer must have been without a resource to be forgotten.
const FORGET: Duration = Duration::from_secs(600);

/// What a feed said.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeedFigures {
    /// The feed itself.
    pub info: Option<Info>,
    /// Why it could not be asked.
    pub away: Option<String>,
    /// Its consumers, by name.
    pub consumers: BTreeMap<String, ConsumerStatus>,
    /// What readers without a consumer say of themselves, by name.
    pub readers: BTreeMap<String, Report>,
}

/// A feed that is asked.
struct Feed {
    namespace: String,
    name: String,
    uid: String,
    url: String,
    /// Whether its pod runs; one that does not is not asked.
    runs: bool,
}

impl Feed {
    fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }
}

/// Asks feeds until the operator ends.
pub(crate) async fn follow(context: Arc<Context>) -> Result<(), RunError> {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .map_err(|error| RunError::Http(error.to_string()))?;
    let mut asked: HashMap<(String, String), Instant> = HashMap::new();
    let mut without: HashMap<(String, String), Instant> = HashMap::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let feeds = feeds(&context);
        let there: HashSet<_> = feeds.iter().map(Feed::key).collect();
        asked.retain(|key, _| there.contains(key));
        let usual = context.settings.figures_every;
        let due: Vec<(Feed, Vec<TargetSeen>)> = feeds
            .into_iter()
            .map(|feed| (asked.get(&feed.key()).map_or(Duration::MAX, Instant::elapsed), feed))
            .filter(|(ago, _)| *ago >= SOON.min(usual))
            .map(|(ago, feed)| {
                let targets = context.allowed_targets_of(&feed.namespace, &feed.name);
                (ago, feed, targets)
            })
            .filter(|(ago, feed, targets)| *ago >= usual || !all_well(feed, targets, &context))
            .map(|(_, feed, targets)| (feed, targets))
            .collect();
        for (feed, _) in &due {
            asked.insert(feed.key(), Instant::now());
        }
        let told = stream::iter(due)
            .map(|(feed, targets)| {
                let (http, context) = (http.clone(), Arc::clone(&context));
                async move {
                    let said = ask(&http, &feed, &context).await;
                    (feed, targets, said)
                }
            })
            .buffer_unordered(AT_A_TIME)
            .collect::<Vec<_>>()
            .await;
        for (feed, targets, said) in told {
            forget(&http, &feed, &said, &mut without, &context).await;
            take(&feed, targets, said, &context).await;
        }
    }
}

fn feeds(context: &Context) -> Vec<Feed> {
    let masters = context.registry.masters.store.state();
    let masters = masters.iter().filter_map(|object| object.0.as_ref().ok());
    masters
        .filter_map(|master: &Master| {
            let (namespace, name) = (master.namespace()?, master.name_any());
            let id = ResourceId::new(Master::KIND, &namespace, &name);
            let children = context.known.of(&id);
            let ready = children.iter().filter_map(|child| context.known.get(child)?.workload);
            let runs = ready.into_iter().any(|workload| workload.ready > 0);
            let url = context.settings.feeds_at.as_ref().map_or_else(
                || feed_url(&namespace, &name),
                |at| at.replace("{namespace}", &namespace).replace("{name}", &name),
            );
            Some(Feed { uid: master.uid()?, namespace, name, url, runs })
        })
        .collect()
}

fn all_well(feed: &Feed, targets: &[TargetSeen], context: &Context) -> bool {
    let master = context.registry.masters.get(&feed.namespace, &feed.name);
    let ready = master
        .and_then(|m| m.0.as_ref().ok().map(|m| crate::reconcile::is_ready(m.conditions())))
        .unwrap_or_default();
    ready && targets.iter().all(|target| target.ready)
}

async fn ask(http: &reqwest::Client, feed: &Feed, context: &Context) -> FeedFigures {
    if !feed.runs {
        return FeedFigures {
            away: Some("its pod is not ready".to_owned()),
            ..FeedFigures::default()
        };
    }
    let both = async {
        let token = token(feed, context)?;
        let info: Info = get(http, &format!("{}v1/info", feed.url), &token).await?;
        let all: Consumers = get(http, &format!("{}v1/consumers", feed.url), &token).await?;
        Ok::<_, String>((info, all))
    };
    match both.await {
        Ok((info, all)) => {
            context.metrics.feed_asked("ok");
            FeedFigures {
                info: Some(info),
                away: None,
                consumers: all.consumers.into_iter().map(|c| (c.name.clone(), c)).collect(),
                readers: all.readers.into_iter().map(|r| (r.name, r.report)).collect(),
            }
        }
        Err(error) => {
            context.metrics.feed_asked("error");
            FeedFigures { away: Some(error), ..FeedFigures::default() }
        }
    }
}

fn token(feed: &Feed, context: &Context) -> Result<zeroize::Zeroizing<String>, String> {
    let rights = [Right::Read, Right::Manage];
    let token = context.seeds().token(&feed.uid, "operator", "Operator", &rights);
    token.map_err(|error| error.to_string())
}

async fn get<T: DeserializeOwned>(
    http: &reqwest::Client,
    url: &str,
    token: &str,
) -> Result<T, String> {
    // The address is the same for all, and of no interest to whoever reads a status.
    let plain = |error: reqwest::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.without_url().to_string())
    };
    let mut response = http.get(url).bearer_auth(token).send().await.map_err(plain)?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(plain)? {
        if body.len() + piece.len() > ANSWER {
            return Err(format!("the answer has more than {ANSWER} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body)
        .map_err(|error| format!("the answer is not as it should be: {error}"))
}

/// Keeps what a feed said, and has the resources reconciled about which it says something new.
async fn take(feed: &Feed, targets: Vec<TargetSeen>, said: FeedFigures, context: &Context) {
    let before = context.set_figures(&feed.namespace, &feed.name, Some(said));
    let now = context.figures(&feed.namespace, &feed.name);
    let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
    let feed_changed = before.away.is_some() != now.away.is_some() || before.info.is_none();
    if feed_changed || essence(before.info.as_ref()) != essence(now.info.as_ref()) {
        let id = ResourceId::new(Master::KIND, &feed.namespace, &feed.name);
        context.registry.poke(&id);
    }
    for target in targets {
        let Some(name) = &target.consumer else { continue };
        let figures = |said: &FeedFigures| {
            let consumer = said.consumers.get(name).map(|c| {
                let c = c.clone();
                // When it was last seen, and where it is in the journal, are in no status.
                let report = c.report.as_ref().map(|r| (r.peer.clone(), r.problem.clone()));
                (
                    (c.delivered, c.failed, c.dead_letters, c.backlog, c.last_delivered_ms),
                    (c.expired, c.refilled, c.journal_lost, report),
                )
            });
            let reader = said.readers.get(name).map(|r| (r.peer.clone(), r.problem.clone()));
            (consumer, reader)
        };
        if feed_changed || figures(&before) != figures(&now) {
            context.registry.poke(&target.id);
        }
    }
}

/// What of a feed's state is in a status.
fn essence(info: Option<&Info>) -> impl PartialEq + use<> {
    info.map(|info| {
        let state = (info.state.kind, info.state.text.clone());
        (state, info.journal_lost.clone(), info.problem.clone(), info.head.epoch)
    })
}

/// Forgets consumers that the operator made for resources which are gone for a while.
async fn forget(
    http: &reqwest::Client,
    feed: &Feed,
    said: &FeedFigures,
    without: &mut HashMap<(String, String), Instant>,
    context: &Context,
) {
    // One that is not allowed, or can't be read, is there all the same, and keeps its place.
    let targets = context.targets_of(&feed.namespace, &feed.name);
    let mut there: HashSet<String> = targets.into_iter().filter_map(|t| t.consumer).collect();
    let unreadable = context.registry.unreadable();
    there.extend(unreadable.iter().map(|one| one.consumer(&feed.namespace)));
    for name in said.consumers.keys() {
        let key = (feed.uid.clone(), name.clone());
        if there.contains(name) || !could_be_ours(feed, name, context) {
            without.remove(&key);
            continue;
        }
        let since = *without.entry(key.clone()).or_insert_with(Instant::now);
        if since.elapsed() < FORGET || !context.leadership.holds() {
            continue;
        }
        let Ok(token) = token(feed, context) else { continue };
        let path = name.replace('/', "%2F");
        let url = format!("{}v1/consumers/{path}", feed.url);
        match http.delete(url).bearer_auth(&*token).send().await {
            Ok(answer)
                if answer.status().is_success()
                    || answer.status() == reqwest::StatusCode::NOT_FOUND =>
            {
                tracing::info!(
                    namespace = feed.namespace,
                    master = feed.name,
                    "the consumer {name} is forgotten: its resource is gone"
                );
                without.remove(&key);
            }
            Ok(answer) => {
                tracing::warn!("the consumer {name} is not forgotten: {}", answer.status());
            }
            Err(error) => {
                tracing::warn!("the consumer {name} is not forgotten: {}", error.without_url());
            }
        }
    }
}

/// Whether a consumer's name is one that a resource in a watched namespace would have.
fn could_be_ours(feed: &Feed, name: &str, context: &Context) -> bool {
    let mut parts = name.split('/');
    let kind = parts.next().is_some_and(Registry::is_component);
    match (kind, parts.next(), parts.next(), parts.next()) {
        (true, Some(_), None, None) => context.settings.covers(&feed.namespace),
        (true, Some(namespace), Some(_), None) => context.settings.covers(namespace),
        _ => false,
    }
}
