//! A durable consumer of a feed elsewhere.

use super::{
    Remote,
    driver::{Driver, Open},
    failure::Failure,
    outbox::Wish,
};
use crate::{
    ConsumerError, ConsumerOptions, ConsumerStatus, DeadLetter, Done, StateChange, StoreError,
    consumer::words::bounded,
    http::api::{Ack, Base64, OpenRequest, Opened},
};
use model::{Position, Record};
use reqwest::Method;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::{mpsc, oneshot};

/// Records in flight where [`ConsumerOptions::window`] says nothing; as in [`crate::Options`].
const WINDOW: usize = 256;
/// Acknowledgements on their way to the task that sends them.
const QUEUE: usize = 256;

/// A durable reader of a feed elsewhere; see [`crate::Feed::consumer`].
///
/// It connects again for as long as it lives, and is handed nothing twice by that.
#[derive(Debug)]
pub struct RemoteConsumer {
    handle: RemoteHandle,
    records: mpsc::Receiver<Arc<Record>>,
}

/// Acknowledges from any task; clones share one consumer.
#[derive(Clone, Debug)]
pub struct RemoteHandle {
    shared: Arc<Shared>,
    wishes: mpsc::Sender<Wish>,
}

/// What the handles and the task that talks to the feed both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    state: Mutex<Known>,
}

/// What is known of the consumer.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) status: ConsumerStatus,
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// Why nothing more comes.
    pub(super) ended: Option<ConsumerError>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn ended(&self) -> ConsumerError {
        self.lock().ended.clone().unwrap_or(ConsumerError::Store(StoreError::Closed))
    }
}

impl Known {
    /// As the feed says it is.
    pub(super) fn of(opened: Opened) -> Self {
        let values = opened.state.into_iter().map(|(key, Base64(value))| (key, value)).collect();
        Self { status: opened.status, values, ended: None }
    }
}

impl Remote {
    /// Opens a durable consumer; see [`crate::Feed::consumer`]. Asks once; what is opened
    /// connects again by itself.
    ///
    /// # Errors
    /// [`ConsumerError`].
    pub async fn consumer(
        &self,
        name: &str,
        options: ConsumerOptions,
    ) -> Result<RemoteConsumer, ConsumerError> {
        bounded("a consumer's name", name)?;
        let ConsumerOptions { window, max_backlog_age, catch_up, held, known } = options;
        let window = window.unwrap_or(WINDOW).max(1);
        let age = u64::try_from(max_backlog_age.as_millis()).unwrap_or(u64::MAX);
        let request = OpenRequest {
            window: Some(window),
            max_backlog_ms: Some(age),
            catch_up,
            held: held.clone(),
            known,
        };
        let opened = self.open(name, &request).await.map_err(|f| f.of_consumer(name, 0))?;
        let (generation, epoch) = (opened.generation, opened.status.floor.epoch);
        let state = Mutex::new(Known::of(opened));
        let shared = Arc::new(Shared { name: name.to_owned(), state });
        let (records_in, records) = mpsc::channel(window);
        let (wishes, wishes_out) = mpsc::channel(QUEUE);
        let open = Open { request, generation, epoch };
        let held = held.into_iter().filter(|position| position.epoch == epoch);
        let driver = Driver::new(
            self.clone(),
            Arc::clone(&shared),
            open,
            held.collect(),
            (records_in, wishes_out),
        );
        self.inner.tasks.spawn(driver.run());
        Ok(RemoteConsumer { handle: RemoteHandle { shared, wishes }, records })
    }

    pub(super) async fn open(&self, name: &str, request: &OpenRequest) -> Result<Opened, Failure> {
        let path = ["consumers", name, "open"];
        self.json(self.request(Method::POST, &path).json(request)).await
    }
}

impl RemoteConsumer {
    /// See [`crate::Consumer::next`]. Waits for ever while the feed is away.
    ///
    /// # Errors
    /// [`ConsumerError::Superseded`] once another process has opened it,
    /// [`ConsumerError::NotFound`] once it was forgotten, [`ConsumerError::OtherJournal`] once
    /// the journal was lost: open it anew.
    pub async fn next(&mut self) -> Result<Arc<Record>, ConsumerError> {
        self.records.recv().await.ok_or_else(|| self.handle.shared.ended())
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> RemoteHandle {
        self.handle.clone()
    }
}

impl RemoteHandle {
    /// See [`crate::ConsumerHandle::acknowledge`]. Waits for ever while the feed is away.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn acknowledge(
        &self,
        position: Position,
        state: Option<StateChange>,
    ) -> Result<(), ConsumerError> {
        self.done(position, Done { change: state, ..Done::default() }).await
    }

    /// See [`crate::ConsumerHandle::park`].
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn park(&self, position: Position, letter: DeadLetter) -> Result<(), ConsumerError> {
        self.done(position, Done::given_up(letter, 0)).await
    }

    /// See [`crate::ConsumerHandle::done`]. Waits for ever while the feed is away.
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn done(&self, position: Position, done: Done) -> Result<(), ConsumerError> {
        let Done { change, letter, delivered, failed } = done.checked()?;
        let ack = Ack { position: Some(position), letter, delivered, failed, ..changing(change) };
        self.wish(ack).await
    }

    /// See [`crate::ConsumerHandle::save`].
    ///
    /// # Errors
    /// [`ConsumerError`], with nothing done.
    pub async fn save(&self, change: StateChange) -> Result<(), ConsumerError> {
        change.check()?;
        let ack = changing(Some(change));
        if ack.change().is_none() {
            return Ok(());
        }
        self.wish(ack).await
    }

    /// See [`crate::ConsumerHandle::get_state`].
    pub fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.lock().values.get(key).cloned()
    }

    /// See [`crate::ConsumerHandle::backlog`]; as the feed said last.
    pub fn backlog(&self) -> u64 {
        self.shared.lock().status.backlog
    }

    /// See [`crate::ConsumerHandle::status`]; as of the opening, but for the backlog and what is
    /// in flight.
    pub fn status(&self) -> ConsumerStatus {
        self.shared.lock().status.clone()
    }

    async fn wish(&self, ack: Ack) -> Result<(), ConsumerError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.wishes.send(Wish { ack, reply }).await;
        sent.map_err(|_| self.shared.ended())?;
        answer.await.unwrap_or_else(|_| Err(self.shared.ended()))
    }
}

/// An acknowledgement that changes the state so.
fn changing(change: Option<StateChange>) -> Ack {
    let StateChange { set, remove } = change.unwrap_or_default();
    Ack {
        set: set.into_iter().map(|(key, value)| (key, Base64(value))).collect(),
        remove: remove.into_iter().collect(),
        ..Ack::default()
    }
}
