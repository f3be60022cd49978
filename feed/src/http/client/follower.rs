//! A reader without a place of its own, over HTTP.

use super::{Remote, connection::Events, failure::Failure, sse::Event};
use crate::{
    Item,
    http::api::{Code, Problem},
};
use master::{MasterState, StateKind};
use model::{Backoff, Position};
use reqwest::Method;
use std::{fmt, future::Future, pin::Pin};
use tokio::time::{Instant, sleep_until};

/// A stream, and the event that it begins with.
type Connected = (Events, Event);
type Connecting = Pin<Box<dyn Future<Output = Result<Connected, Failure>> + Send>>;

/// Reads on from a position in a feed elsewhere. While that is away it says so by an
/// [`Item::State`] of [`StateKind::FeedAway`], and goes on where it was once it is back.
pub struct RemoteFollower {
    remote: Remote,
    /// Where to read on: the id of the last event that had one.
    place: Option<String>,
    position: Position,
    /// Records up to here are known from a snapshot.
    known: Option<Position>,
    events: Option<Events>,
    /// What the stream began with, if it is not handed out yet.
    first: Option<Event>,
    connecting: Option<Connecting>,
    backoff: Backoff,
    /// Not before then.
    again: Option<Instant>,
    /// The state that was told last.
    told: Option<MasterState>,
    /// What was read so far leads nowhere, which is told once there is a place to read on from.
    resync: bool,
}

impl fmt::Debug for RemoteFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connected = self.events.is_some();
        f.debug_struct("RemoteFollower")
            .field("place", &self.place)
            .field("connected", &connected)
            .finish_non_exhaustive()
    }
}

impl RemoteFollower {
    /// From `from`, or from the head if there is none.
    pub(super) fn new(remote: Remote, from: Option<Position>) -> Self {
        let (first, longest) = remote.inner.options.retry;
        Self {
            remote,
            place: from.map(|position| position.to_string()),
            position: from.unwrap_or_default(),
            known: None,
            events: None,
            first: None,
            connecting: None,
            backoff: Backoff::new(first, longest),
            again: None,
            told: None,
            resync: false,
        }
    }

    /// Where it stands: the last record that was handed out, or the snapshot's.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Skips records up to `position`, which a snapshot holds.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.known = Some(position);
        self.position = position;
    }

    /// Connects once. What comes after it is read on, whatever is cut.
    pub(super) async fn connect(&mut self) -> Result<(), Failure> {
        let connected = connect(self.remote.clone(), self.place.clone()).await?;
        self.connected(connected);
        Ok(())
    }

    fn connected(&mut self, (events, first): Connected) {
        if first.id.is_some() {
            self.place.clone_from(&first.id);
        }
        (self.events, self.first) = (Some(events), Some(first));
    }

    /// The next item; waits for it, for ever while the feed is away. Safe to cancel.
    pub async fn next(&mut self) -> Item {
        loop {
            if let Some(first) = self.first.take() {
                if let Some(item) = self.item(first) {
                    return item;
                }
                continue;
            }
            if let Some(events) = &mut self.events {
                match events.next().await {
                    Ok(event) => {
                        if let Some(item) = self.item(event) {
                            return item;
                        }
                    }
                    Err(failure) => self.cut(&failure),
                }
                continue;
            }
            if let Some(again) = self.again {
                sleep_until(again).await;
                self.again = None;
            }
            let (remote, place) = (self.remote.clone(), self.place.clone());
            let connecting =
                self.connecting.get_or_insert_with(|| Box::pin(connect(remote, place)));
            let connected = connecting.await;
            self.connecting = None;
            match connected {
                Ok(connected) => {
                    self.connected(connected);
                    if std::mem::take(&mut self.resync) {
                        self.known = None;
                        return Item::Resync;
                    }
                }
                Err(Failure::Refused(Problem { code: Code::Bounds, .. }))
                    if self.place.is_some() =>
                {
                    // The place means nothing to this feed.
                    self.place = None;
                    self.resync = true;
                }
                Err(failure) => {
                    self.cut(&failure);
                    let text = format!("{failure}; tried again and again");
                    if let Some(item) = self.state(MasterState::now(StateKind::FeedAway, text)) {
                        return item;
                    }
                }
            }
        }
    }

    fn item(&mut self, event: Event) -> Option<Item> {
        let item = match Item::parse(&event.name, &event.data)? {
            Ok(item) => item,
            Err(error) => {
                let text = format!("an event is not as documented: {error}");
                self.cut(&Failure::lost(text));
                return None;
            }
        };
        // Only now: what came before the id is handed out.
        if event.id.is_some() {
            self.place = event.id;
        }
        self.backoff.reset();
        match &item {
            Item::Record(record) => {
                if self.known.is_some_and(|known| record.position <= known) {
                    return None;
                }
                self.position = record.position;
            }
            Item::Resync => self.known = None,
            Item::State(state) => return self.state(state.clone()),
            Item::Live(_) | Item::History(_) | Item::HistoryChange(_) => {}
        }
        Some(item)
    }

    /// A state, unless it is the one that was told last: each connection begins with it.
    fn state(&mut self, state: MasterState) -> Option<Item> {
        self.remote.inner.state.send_replace(state.clone());
        let same = match &self.told {
            // The times and texts of failures differ.
            Some(told) if told.kind == StateKind::FeedAway => state.kind == told.kind,
            told => *told == Some(state.clone()),
        };
        if same {
            return None;
        }
        self.told = Some(state.clone());
        Some(Item::State(state))
    }

    /// Waits before it connects again. One cut is not worth telling.
    fn cut(&mut self, failure: &Failure) {
        self.events = None;
        let wait = self.backoff.next_wait();
        self.again = Some(Instant::now() + wait);
        tracing::debug!(%failure, ?wait, "a follower connects again");
    }
}

/// Connects, and waits for the event that the feed sends at once: its id is where the stream
/// begins. Who was cut before it knew that could only begin at a later head.
async fn connect(remote: Remote, place: Option<String>) -> Result<Connected, Failure> {
    let mut request = remote.request(Method::GET, &["events"]);
    if let Some(place) = place {
        request = request.header("Last-Event-ID", place);
    }
    let mut events = remote.stream(request).await?;
    let first = events.next().await?;
    Ok((events, first))
}
