//! Keeps what targets know of the master (title, address, builders) up to date.

use feed::{AnyFeed, Item, SnapshotLimits};
use model::{Event, Links, Position, World};
use std::{sync::Arc, time::Duration};
use targets::About;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Only the present state is wanted of a snapshot.
const NO_HISTORY: SnapshotLimits =
    SnapshotLimits { builds_per_builder: 0, builds_total: 0, changes: 0 };
/// How long a feed that can't be read is left alone.
const AGAIN: Duration = Duration::from_secs(2);

/// Follows the feed until `cancel`; the receiver has the present value from the start.
pub(super) async fn follow(
    tasks: &mut JoinSet<()>,
    feed: &AnyFeed,
    links: Links,
    cancel: &CancellationToken,
) -> watch::Receiver<About> {
    // A message that is made once more must be the same: none is made before this is known.
    let (position, first) = loop {
        if let Some(read) = read(feed, &links).await {
            break read;
        }
        tokio::time::sleep(AGAIN).await;
    };
    let mut stale = false;
    let (sender, receiver) = watch::channel(first);
    let (feed, cancel) = (feed.clone(), cancel.clone());
    tasks.spawn(async move {
        let mut follower = feed.follow(position);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(AGAIN), if stale => {}
                item = follower.next() => stale |= matters(&item),
            }
            if stale && let Some((_, about)) = read(&feed, &links).await {
                sender.send_replace(about);
                stale = false;
            }
        }
    });
    receiver
}

/// Whether it may change what is told.
fn matters(item: &Item) -> bool {
    match item {
        Item::State(_) | Item::Resync => true,
        Item::Record(record) => matches!(
            record.event,
            Event::BuilderAdded { .. }
                | Event::BuilderChanged { .. }
                | Event::BuilderRemoved { .. }
        ),
        _ => false,
    }
}

async fn read(feed: &AnyFeed, links: &Links) -> Option<(Position, About)> {
    match feed.snapshot(NO_HISTORY).await {
        Ok(snapshot) => Some((snapshot.position, about(snapshot.world, links))),
        Err(error) => {
            tracing::warn!(
                "the journal can't be read for the master's title and builders: {error}"
            );
            None
        }
    }
}

/// What targets know of `world`. Links of a master without pages of ours go to the address that
/// it calls its own, if it says one.
pub fn about(world: World, links: &Links) -> About {
    let links = match links {
        Links::Master(_) if !world.buildbot_url.is_empty() => Links::master(&world.buildbot_url),
        other => other.clone(),
    };
    let unnamed = render::Site::default();
    About {
        site: render::Site {
            title: if world.title.is_empty() { unnamed.title } else { world.title },
            title_url: world.title_url,
            links: Some(links),
        },
        builders: Arc::new(world.builders),
    }
}
