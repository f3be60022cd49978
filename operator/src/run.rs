//! Starts the parts of the operator in order, and ends them together.

use crate::{
    Metrics, RunError, Seeds, Settings,
    children::ChildKind,
    context::Context,
    discovery::OptionalKinds,
    figures,
    kinds::{Kind, for_every_kind, id_of, key_of},
    leader::{Election, Leadership},
    reconcile::reconcile,
    waiting::{Turn, Waiting},
    watch::{self, Watch},
};
use crds::{GerritPush, GitHubStatus, HttpPush, MailNotifier, Master, StatusPush, WebStatus};
use futures_util::{
    StreamExt as _,
    future::{BoxFuture, ready},
};
use kube::{
    Api, Client,
    api::ListParams,
    core::{DynamicObject, error_boundary::DeserializeGuard},
    runtime::{
        applier,
        controller::{self, Config},
        reflector::{ObjectRef, Store},
    },
};
use model::Backoff;
use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long resources may change before they are reconciled: one `kubectl apply` of several
/// objects is one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How often seeds are read again: a mounted Secret changes while the process runs.
const SEEDS_AGAIN: Duration = Duration::from_secs(30);
/// How often resources are counted.
const COUNT: Duration = Duration::from_secs(10);

/// Runs until `cancel`. `ready` is called once everything is watched; an operator that waits for
/// the Lease is ready as well.
///
/// # Errors
/// [`RunError`] when the Lease is lost or something can't go on; the process is to end then.
pub async fn run(
    client: Client,
    settings: Settings,
    seeds: (Seeds, Option<PathBuf>),
    metrics: Metrics,
    ready: impl FnOnce() + Send,
    cancel: CancellationToken,
) -> Result<(), RunError> {
    if cancel.run_until_cancelled(kinds_there(&client)).await.is_none() {
        return Ok(());
    }
    ready();
    metrics.leads(false);
    let (seeds, seeds_dir) = seeds;
    let mut keeping = JoinSet::new();
    let stopped = CancellationToken::new();
    let leadership = match settings.lease.clone() {
        None => Leadership::alone(),
        Some(lease) => {
            let mut election = Election::new(client.clone(), lease, &settings.identity);
            if cancel.run_until_cancelled(election.win()).await.is_none() {
                return Ok(());
            }
            let leadership = election.leadership.clone();
            keeping.spawn(election.keep(stopped.clone()));
            leadership
        }
    };
    tracing::info!("reconciles from now on");
    metrics.leads(true);
    let lease = settings.lease.as_ref().map(|lease| lease.name.clone());
    let context = Arc::new(Context::new(client, settings, seeds, leadership, metrics.clone()));
    let mut tasks = JoinSet::new();
    let ended = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        Some(_) = keeping.join_next() => match lease {
            Some(name) => Err(RunError::LostLease(name)),
            None => Ok(()),
        },
        error = work(&context, seeds_dir, &mut tasks) => Err(error),
    };
    metrics.leads(false);
    tasks.shutdown().await;
    // The Lease is given away last, when nothing is written any more.
    stopped.cancel();
    while keeping.join_next().await.is_some() {}
    ended
}

/// Works until a task ends, which none should.
async fn work(
    context: &Arc<Context>,
    seeds_dir: Option<PathBuf>,
    tasks: &mut JoinSet<Ended>,
) -> RunError {
    start(context, seeds_dir, tasks).await;
    let (name, why) = match tasks.join_next().await {
        Some(Ok((name, Ok(())))) => (name, "early".to_owned()),
        Some(Ok((name, Err(error)))) => (name, error.to_string()),
        Some(Err(error)) => ("?", error.to_string()),
        None => ("?", "there is none".to_owned()),
    };
    RunError::Task(name.to_owned(), why)
}

/// What a task of the operator ends with, and its name.
type Ended = (&'static str, Result<(), RunError>);

async fn start(context: &Arc<Context>, seeds_dir: Option<PathBuf>, tasks: &mut JoinSet<Ended>) {
    let mut optional = OptionalKinds::new(context);
    let mut seen = optional.ask().await.unwrap_or_default();
    let mut watches = vec![("pods", watch::pods(context))];
    for kind in ChildKind::ALL.iter().copied().filter(|kind| !kind.is_optional()) {
        // Tokens and keys are watched only where Secrets may be.
        if kind != ChildKind::Secret || context.settings.watch_secrets {
            watches.push((kind.name(), watch::children(context, kind)));
        }
    }
    if context.settings.watch_secrets {
        watches.push(("secrets", watch::secrets(context)));
    }
    if context.settings.storage_classes {
        watches.push(("storage classes", watch::storage_classes(context)));
    }
    if context.settings.ingress_classes {
        watches.push(("ingress classes", watch::ingress_classes(context)));
    }
    if context.settings.namespaces.is_empty() {
        watches.push(("namespaces", watch::namespaces(context)));
    }
    for (name, Watch { seen: first, run }) in watches {
        seen.push(first);
        tasks.spawn(async move {
            run.await;
            (name, Ok(()))
        });
    }
    let mut waiting: Vec<BoxFuture<'static, Ended>> = Vec::new();
    macro_rules! fill {
        ($field:ident, $kind:ident) => {
            if let Some(writer) = context.registry.$field.writer() {
                let Watch { seen: first, run } =
                    watch::resources(context, |registry| &registry.$field, writer);
                seen.push(first);
                tasks.spawn(async move {
                    run.await;
                    ($kind::KIND, Ok(()))
                });
                waiting.push(Box::pin(control(
                    Arc::clone(context),
                    context.registry.$field.store.clone(),
                    Arc::clone(&context.registry.$field.waiting),
                )));
            }
        };
    }
    for_every_kind!(fill);
    // What is wanted is computed from all that there is: a part would delete and make anew.
    for first in seen {
        if first.await.is_err() {
            tracing::warn!("a watch ended before it had seen everything");
        }
    }
    for controller in waiting {
        tasks.spawn(controller);
    }
    let context = Arc::clone(context);
    tasks.spawn({
        let context = Arc::clone(&context);
        async move { ("figures", figures::follow(context).await) }
    });
    tasks.spawn(async move { ("discovery", optional.follow().await) });
    tasks.spawn({
        let context = Arc::clone(&context);
        async move {
            count(context).await;
            ("counting", Ok(()))
        }
    });
    if let Some(dir) = seeds_dir {
        tasks.spawn(async move {
            follow_seeds(context, dir).await;
            ("keys", Ok(()))
        });
    }
}

/// Reconciles the resources of a kind: those that are there, and those that are asked for.
async fn control<K: Kind>(
    context: Arc<Context>,
    store: Store<DeserializeGuard<K>>,
    waiting: Arc<Waiting>,
) -> Ended {
    for object in store.state() {
        waiting.ask(key_of(&*object), Turn::Later);
    }
    let queue = Arc::clone(&waiting).hand_on().map(|(namespace, name)| {
        let object = ObjectRef::<DeserializeGuard<K>>::new(&name).within(&namespace);
        Ok::<_, Infallible>(object)
    });
    let done = |object: &ObjectRef<DynamicObject>| {
        waiting.done(&(object.namespace.clone().unwrap_or_default(), object.name.clone()));
    };
    let config = Config::default().debounce(DEBOUNCE).concurrency(context.settings.concurrency);
    let (begun, judged) = (Arc::clone(&waiting), Arc::clone(&context));
    applier(
        move |object: Arc<DeserializeGuard<K>>, context: Arc<Context>| {
            begun.begun(&key_of(&*object));
            let id = id_of::<K>(&*object);
            Box::pin(async move {
                let done = reconcile(object, Arc::clone(&context)).await;
                if done.is_ok() {
                    context.failures.forget(&id);
                }
                done
            })
        },
        move |object, error, _| judged.failures.again(&id_of::<K>(&*object), error),
        context,
        store,
        Box::pin(queue),
        config,
    )
    .for_each(|ended| {
        match ended {
            Ok((object, _)) => done(&object.erase()),
            // It was deleted before its turn came.
            Err(controller::Error::ObjectNotFound(object)) => done(&object),
            Err(controller::Error::ReconcilerFailed(error, object)) => {
                done(&object);
                tracing::warn!(
                    kind = K::KIND,
                    class = error.class(),
                    "{}/{}: {error}",
                    object.namespace.as_deref().unwrap_or_default(),
                    object.name
                );
            }
            Err(error) => tracing::error!(kind = K::KIND, "{error}"),
        }
        ready(())
    })
    .await;
    (K::KIND, Ok(()))
}

/// Waits until the API server knows the kinds.
async fn kinds_there(client: &Client) {
    macro_rules! there {
        ($field:ident, $kind:ident) => {
            until_there::<$kind>(client).await;
        };
    }
    for_every_kind!(there);
}

async fn until_there<K: Kind>(client: &Client) {
    let api: Api<K> = Api::all(client.clone());
    let mut again = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        // Asks no more than whether the address is known; a right to list is not needed.
        match api.list_metadata(&ListParams::default().limit(1)).await {
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => tracing::warn!(
                "the cluster has no kind {} of {}: install the CRDs, with the chart \
                 buildbot-status-crds or `buildbot-status crds | kubectl apply -f -`",
                K::KIND,
                crds::API_VERSION
            ),
            Err(kube::Error::Api(_)) | Ok(_) => return,
            Err(error) => tracing::warn!("the API server does not answer: {error}"),
        }
        tokio::time::sleep(again.next_wait()).await;
    }
}

/// Counts resources for the figures.
async fn count(context: Arc<Context>) {
    loop {
        for (kind, all, ready) in context.registry.counts() {
            context.metrics.counted(kind, all, ready);
        }
        tokio::time::sleep(COUNT).await;
    }
}

/// Takes other seeds as they come, and has all keys and tokens made anew.
async fn follow_seeds(context: Arc<Context>, dir: PathBuf) {
    loop {
        tokio::time::sleep(SEEDS_AGAIN).await;
        let from = dir.clone();
        let read = tokio::task::spawn_blocking(move || Seeds::from_dir(&from)).await;
        match read {
            Ok(Ok(seeds)) => {
                if context.set_seeds(seeds) {
                    tracing::info!(
                        "the operator's keys are others: feeds' keys and tokens are made anew"
                    );
                    context.poke_all();
                }
            }
            Ok(Err(error)) => tracing::warn!("{error}; the keys that were read before count on"),
            Err(error) => tracing::warn!("keys could not be read: {error}"),
        }
    }
}
