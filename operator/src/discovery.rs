//! The kinds that not every cluster has. Which there are is asked at the start, every few minutes,
//! and at once when something speaks against what is known. Each is watched for as long as it is
//! there.

use crate::{
    RunError,
    children::ChildKind,
    context::Context,
    watch::{self, Watch},
};
use kube::{core::GroupVersion, discovery};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinError, JoinSet},
};

/// Doubts of this time are one question.
const PAUSE: Duration = Duration::from_secs(1);

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
                () = self.context.kinds_doubted.notified() => {}
                Some(ended) = self.watches.join_next() => {
                    unless_aborted(ended)?;
                    continue;
                }
            }
            if self.ask().await.is_some() {
                self.context.poke_all().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether the cluster has a kind; `None`: that can't be known now.
async fn is_there(kind: ChildKind, context: &Context) -> Option<bool> {
    let resource = kind.resource();
    let version = GroupVersion::gv(&resource.group, &resource.version);
    match discovery::pinned_group(&context.client, &version).await {
        Ok(group) => Some(group.recommended_kind(kind.name()).is_some()),
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
