//! A target's records, each handed out once what the target knows of the master covers it: both are read from
//! the journal, side by side.

use delivery::Source;
use feed::{AnyConsumer, AnyHandle, ConsumerError};
use model::{BuilderId, Event, Record};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use targets::About;
use tokio::{sync::watch, time::timeout};

/// How long a builder is waited for that a record names by its key. One that the journal does not have
/// either is waited for once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A consumer whose records wait for the builders that they name.
#[derive(Debug)]
pub(super) struct Informed {
    consumer: AnyConsumer,
    about: watch::Receiver<About>,
    unknown: BTreeSet<BuilderId>,
    held: Option<Arc<Record>>,
}

impl Informed {
    pub fn new(consumer: AnyConsumer, about: watch::Receiver<About>) -> Self {
        Self { consumer, about, unknown: BTreeSet::new(), held: None }
    }
}

impl Source for Informed {
    type Acks = AnyHandle;

    async fn next(&mut self) -> Result<Arc<Record>, ConsumerError> {
        // Kept while it waits, so that one who is cancelled meanwhile loses nothing.
        let record = match &self.held {
            Some(record) => Arc::clone(record),
            None => Arc::clone(self.held.insert(self.consumer.next().await?)),
        };
        if let Some(builder) = named_by_key(&record.event).filter(|id| !self.unknown.contains(id)) {
            let known = self.about.wait_for(|about| about.builders.contains_key(&builder));
            if timeout(PATIENCE, known).await.is_err() {
                self.unknown.insert(builder);
            }
        }
        self.held = None;
        Ok(record)
    }

    fn acks(&self) -> AnyHandle {
        self.consumer.handle()
    }
}

/// The builder that an event names by its key alone.
fn named_by_key(event: &Event) -> Option<BuilderId> {
    match event {
        Event::RequestSubmitted { request }
        | Event::RequestCancelled { request }
        | Event::RequestCompleted { request } => Some(request.builder),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Informed;
    use delivery::Source as _;
    use feed::{AnyFeed, ConsumerOptions, Feed, Options};
    use master::{Batch, Sink as _};
    use model::{Builder, BuilderId, Event, Request, World};
    use std::{sync::Arc, time::Duration};
    use targets::About;
    use tokio::{sync::watch, time::timeout};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_request_is_handed_out_once_its_builder_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let feed = Feed::open(folder.path(), Options::default()).unwrap();
        let reader = AnyFeed::from(feed.clone());
        let consumer = reader.consumer("push", ConsumerOptions::default()).await.unwrap();
        let request = Request { builder: BuilderId(7), ..Request::default() };
        let events = vec![Event::RequestSubmitted { request }];
        let batch = Batch { events, ..Batch::default() };
        feed.ingest().commit(batch, &World::default()).await.unwrap();

        let (knows, about) = watch::channel(About::default());
        let mut informed = Informed::new(consumer, about);
        for _ in 0..2 {
            // Cancelled twice, and still not lost.
            assert!(timeout(Duration::from_millis(100), informed.next()).await.is_err());
        }
        let builders = [(BuilderId(7), Builder::default())].into();
        knows.send_replace(About { builders: Arc::new(builders), ..About::default() });
        let record = informed.next().await.unwrap();
        assert!(matches!(record.event, Event::RequestSubmitted { .. }));
        assert!(timeout(Duration::from_millis(100), informed.next()).await.is_err(), "once");
        feed.close().await;
    }
}
