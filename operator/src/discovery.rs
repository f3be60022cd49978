//! The kinds that not every cluster has. Which there are is asked at the start, every few minutes,
//! and at once when something speaks against what is known. Each is watched for as long as it is
//! there.
//!
//! A kind that is being removed goes when its last object has gone, and the API server lets objects
//! be made by an apply until then. So one that is gone is made anew only once it is known that its
//! kind stays.

use crate::{
    RunError,
    children::ChildKind,
    context::Context,
    known::ResourceId,
    watch::{self, Watch},
};
use kube::{
    core::GroupVersion,
    discovery::{self, verbs},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    task::{AbortHandle, JoinError, JoinSet},
};

/// Doubts of this time are one question. The API server, too, takes a moment to say that a kind is
/// being removed.
const PAUSE: Duration = Duration::from_millis(500);

/// What speaks against what is known of the optional kinds.
#[derive(Default)]
pub(crate) struct Doubts {
    noted: Notify,
    missing: Mutex<HashSet<ResourceId>>,
}

impl Doubts {
    /// A kind may be gone.
    pub fn note(&self) {
        self.noted.notify_one();
    }

    /// An object of this resource is gone, perhaps with its kind. The resource is reconciled when
    /// that is known.
    pub fn missing(&self, owner: ResourceId) {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(owner);
        self.note();
    }

    fn take(&self) -> HashSet<ResourceId> {
        std::mem::take(&mut self.missing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The optional kinds, with the watches of those that are there.
pub(crate) struct OptionalKinds {
    context: Arc<Context>,
    watches: JoinSet<()>,
    watched: HashMap<ChildKind, AbortHandle>,
}

impl OptionalKinds {
    /// None is known yet.
    pub fn new(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context), watches: JoinSet::new(), watched: HashMap::new() }
    }

    /// Asks which kinds there are, and begins and ends watches accordingly. If something is new,
    /// returns when the objects of those that came were seen.
    pub async fn ask(&mut self) -> Option<Vec<oneshot::Receiver<()>>> {
        let mut news = None;
        for kind in ChildKind::ALL.iter().copied().filter(|kind| kind.is_optional()) {
            let Some(there) = is_there(kind, &self.context).await else { continue };
            if !self.context.set_optional(kind, there) {
                continue;
            }
            let seen = news.get_or_insert_with(Vec::new);
            if there {
                tracing::info!("the cluster has the kind {}", kind.name());
                let Watch { seen: first, run } = watch::children(&self.context, kind);
                self.watched.insert(kind, self.watches.spawn(run));
                seen.push(first);
            } else {
                tracing::info!("the cluster has the kind {} no longer", kind.name());
                if let Some(watch) = self.watched.remove(&kind) {
                    watch.abort();
                }
                // Its objects went with it.
                self.context.known.keep_only(kind, None, &HashSet::new());
            }
        }
        news
    }

    /// Asks again and again; has everything reconciled when a kind came or went.
    pub async fn follow(mut self) -> Result<(), RunError> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.context.settings.kinds_asked_every) => {}
                () = self.context.doubts.noted.notified() => tokio::time::sleep(PAUSE).await,
                Some(ended) = self.watches.join_next() => {
                    unless_aborted(ended)?;
                    continue;
                }
            }
            let missing = self.context.doubts.take();
            if self.ask().await.is_some() {
                self.context.poke_all();
            }
            for owner in missing {
                self.context.registry.poke(&owner);
            }
        }
    }
}

/// Whether the cluster has a kind, and it is not being removed; `None`: that can't be known now.
async fn is_there(kind: ChildKind, context: &Context) -> Option<bool> {
    let resource = kind.resource();
    let version = GroupVersion::gv(&resource.group, &resource.version);
    match discovery::pinned_group(&context.client, &version).await {
        Ok(group) => {
            let found = group.recommended_kind(kind.name());
            Some(found.is_some_and(|(_, can)| can.supports_operation(verbs::PATCH)))
        }
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Some(false),
        Err(kube::Error::Discovery(_)) => Some(false),
        Err(error) => {
            tracing::warn!("whether there is a kind {} is not known: {error}", kind.name());
            None
        }
    }
}

/// A watch ends when its kind goes. By itself it never does.
fn unless_aborted(ended: Result<(), JoinError>) -> Result<(), RunError> {
    match ended {
        Err(error) if error.is_cancelled() => Ok(()),
        Ok(()) => Err(RunError::Task("watch of a kind".to_owned(), "early".to_owned())),
        Err(error) => Err(RunError::Task("watch of a kind".to_owned(), error.to_string())),
    }
}
