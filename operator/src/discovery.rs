//! Whether the cluster has kinds that not every cluster has: asked at the start and every five
//! minutes.

use crate::{children::ChildKind, context::Context, watch};
use kube::discovery;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(300);

/// Asks once which optional kinds there are. Returns those that are new.
pub(crate) async fn ask(context: &Context) -> Vec<ChildKind> {
    let mut new = Vec::new();
    for kind in ChildKind::ALL.iter().copied().filter(|kind| kind.is_optional()) {
        let resource = kind.resource();
        let version = kube::core::GroupVersion::gv(&resource.group, &resource.version);
        let there = match discovery::pinned_group(&context.client, &version).await {
            Ok(group) => group.recommended_kind(kind.name()).is_some(),
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => false,
            Err(kube::Error::Discovery(_)) => false,
            Err(error) => {
                tracing::warn!("whether there is a kind {} is not known: {error}", kind.name());
                continue;
            }
        };
        if context.set_optional(kind, there) && there {
            new.push(kind);
        }
    }
    new
}

/// Asks again and again; has everything reconciled when a kind comes or goes.
pub(crate) async fn follow(context: Arc<Context>) {
    let mut watches = JoinSet::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let before: Vec<bool> = optional(&context);
        for kind in ask(&context).await {
            tracing::info!("the cluster has the kind {} now", kind.name());
            watches.spawn(watch::children(&context, kind).run);
        }
        if optional(&context) != before {
            context.poke_all().await;
        }
    }
}

fn optional(context: &Context) -> Vec<bool> {
    let optional = ChildKind::ALL.iter().copied().filter(|kind| kind.is_optional());
    optional.map(|kind| context.has(kind)).collect()
}
