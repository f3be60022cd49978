//! The task that keeps a consumer's connection: reads its stream, sends its acknowledgements,
//! and opens it anew after every failure.
//!
//! An answer that is lost says nothing of what was done. So before anything is asked again the
//! consumer is opened anew: the feed then refuses what of the old generation is still on its way.

mod answers;

use super::{
    Remote,
    connection::Events,
    consumer::{Known, Shared},
    failure::Failure,
    outbox::{Outbox, Verdict, Wish, verdict},
    sse::Event,
};
use crate::{
    ConsumerError,
    http::api::{Backlog, ConsumeQuery, OpenRequest, Problem, consumed},
};
use answers::{Sending, settled};
use model::{Backoff, Position, Record};
use reqwest::Method;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// For how long the feed may still hear a request that had no answer.
const UNSURE: Duration = Duration::from_secs(300);

/// How the consumer was opened.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) request: OpenRequest,
    pub(super) generation: u64,
    pub(super) epoch: u32,
}

/// See the module.
pub(super) struct Driver {
    remote: Remote,
    shared: Arc<Shared>,
    open: Open,
    /// Handed out and not known to be done.
    held: BTreeSet<Position>,
    /// Handed out once more (as a replay) before the answer came that they are done.
    again: BTreeMap<Position, Arc<Record>>,
    outbox: Outbox,
    records: mpsc::Sender<Arc<Record>>,
    wishes: mpsc::Receiver<Wish>,
    backoff: Backoff,
    /// Openings without an answer, and until when they may still come to pass.
    unsure: (u64, Instant),
    /// Nobody has the consumer any more: until when what was acknowledged is still sent.
    gone: Option<Instant>,
}

/// Why a connection is left.
enum Leave {
    /// Nobody needs it.
    Gone,
    /// There is nothing more to be had.
    End(ConsumerError),
    /// It is to be made anew.
    Cut(String),
}

impl Driver {
    pub(super) fn new(
        remote: Remote,
        shared: Arc<Shared>,
        open: Open,
        held: BTreeSet<Position>,
        (records, wishes): (mpsc::Sender<Arc<Record>>, mpsc::Receiver<Wish>),
    ) -> Self {
        let (first, longest) = remote.inner.options.retry;
        Self {
            remote,
            shared,
            open,
            held,
            again: BTreeMap::new(),
            outbox: Outbox::default(),
            records,
            wishes,
            backoff: Backoff::new(first, longest),
            unsure: (0, Instant::now()),
            gone: None,
        }
    }

    /// Until nobody has the consumer any more, or it ends.
    pub(super) async fn run(mut self) {
        let Some(error) = self.drive().await else { return };
        self.shared.lock().ended = Some(error.clone());
        self.wishes.close();
        while let Ok(wish) = self.wishes.try_recv() {
            self.outbox.push(wish);
        }
        self.outbox.end(&error);
    }

    async fn drive(&mut self) -> Option<ConsumerError> {
        let mut began = Some(Instant::now());
        let mut leave = self.connected().await;
        loop {
            match leave {
                Leave::Gone => return None,
                Leave::End(error) => return Some(error),
                Leave::Cut(why) => {
                    // Only a connection that was there has lasted; a feed that stays away has not.
                    if began.take().is_some_and(|at| at.elapsed() > self.backoff.max()) {
                        self.backoff.reset();
                    }
                    let wait = self.backoff.next_wait();
                    let (consumer, held) = (&self.shared.name, self.held.len());
                    tracing::info!(consumer, held, ?wait, "{why}; connecting again");
                    leave = match self.wait(wait).await {
                        Some(leave) => leave,
                        None => match self.reopen().await {
                            Ok(()) => {
                                began = Some(Instant::now());
                                self.connected().await
                            }
                            Err(leave) => leave,
                        },
                    };
                }
            }
        }
    }

    /// Waits, and meanwhile takes acknowledgements.
    async fn wait(&mut self, wait: Duration) -> Option<Leave> {
        let until = Instant::now() + wait;
        loop {
            if let Some(last) = self.gone
                && (self.outbox.is_empty() || Instant::now() >= last)
            {
                return Some(Leave::Gone);
            }
            tokio::select! {
                () = sleep_until(until) => return None,
                wish = self.wishes.recv(), if self.takes() => self.take(wish),
            }
        }
    }

    fn takes(&self) -> bool {
        self.gone.is_none() && self.outbox.has_room()
    }

    fn take(&mut self, wish: Option<Wish>) {
        match wish {
            Some(wish) => self.outbox.push(wish),
            None => self.gone = Some(Instant::now() + self.remote.inner.options.timeout),
        }
    }

    /// Opens the consumer anew, with what it holds.
    async fn reopen(&mut self) -> Result<(), Leave> {
        // What was handed out once more was done before.
        for (position, record) in std::mem::take(&mut self.again) {
            if let Some(wish) = self.outbox.remove(position) {
                wish.answer(Ok(()));
            }
            self.hand_out(record)?;
        }
        let held = self.held.iter().copied().collect();
        let known = Some(self.shared.lock().status.floor);
        let request = OpenRequest { held, known, ..self.open.request.clone() };
        let opened = match self.remote.open(&self.shared.name, &request).await {
            Ok(opened) => opened,
            Err(failure) => {
                if failure.may_be_done() {
                    self.unsure = (self.unsure.0 + 1, Instant::now() + UNSURE);
                }
                return Err(self.left(failure));
            }
        };
        let epoch = opened.status.floor.epoch;
        if epoch != self.open.epoch {
            let given = Position { epoch: self.open.epoch, ..Position::default() };
            let given = self.held.first().copied().unwrap_or(given);
            return Err(Leave::End(ConsumerError::OtherJournal { given, epoch }));
        }
        // Openings of this process whose answers were lost, as far as they have come to pass.
        let between = opened.generation.saturating_sub(self.open.generation + 1);
        self.unsure.0 = self.unsure.0.saturating_sub(between);
        self.open.generation = opened.generation;
        *self.shared.lock() = Known::of(opened);
        Ok(())
    }

    /// Reads and acknowledges for as long as the connection holds.
    async fn connected(&mut self) -> Leave {
        let mut events = match self.stream().await {
            Ok(events) => events,
            Err(failure) => return self.left(failure),
        };
        let mut sending: Option<(usize, Sending)> = None;
        let mut not_before = Instant::now();
        loop {
            if let Some(last) = self.gone
                && (self.outbox.is_empty() || Instant::now() >= last)
            {
                return Leave::Gone;
            }
            let idle = sending.is_none() && !self.outbox.is_empty();
            if idle && Instant::now() >= not_before {
                let acks = self.outbox.batch();
                sending = Some((acks.len(), self.send(acks)));
            }
            let put_off = sending.is_none() && !self.outbox.is_empty();
            let outcome = tokio::select! {
                (count, answer) = settled(&mut sending) => {
                    sending = None;
                    self.answered(count, answer, &mut not_before)
                }
                event = events.next() => match event {
                    Ok(event) => self.events(&event, &mut events),
                    Err(failure) => Err(self.left(failure)),
                },
                wish = self.wishes.recv(), if self.takes() => {
                    self.take(wish);
                    // They are sent together; looking at everything else for each costs much.
                    while self.takes()
                        && let Ok(wish) = self.wishes.try_recv()
                    {
                        self.take(Some(wish));
                    }
                    Ok(())
                }
                () = sleep_until(not_before), if put_off => Ok(()),
                () = sleep_until(self.gone.unwrap_or(not_before)), if self.gone.is_some() => Ok(()),
            };
            if let Err(leave) = outcome {
                return leave;
            }
        }
    }

    async fn stream(&self) -> Result<Events, Failure> {
        let query = ConsumeQuery { generation: self.open.generation, wait: None, limit: None };
        let path = ["consumers", self.shared.name.as_str(), "events"];
        self.remote.stream(self.remote.request(Method::GET, &path).query(&query)).await
    }

    /// Takes what the stream told, and all that came with it.
    fn events(&mut self, first: &Event, events: &mut Events) -> Result<(), Leave> {
        self.event(first)?;
        while let Some(event) = events.pop() {
            self.event(&event)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), Leave> {
        let garbage = |error: serde_json::Error| {
            Leave::Cut(format!("an event is not as documented: {error}"))
        };
        match event.name.as_str() {
            consumed::RECORD => {
                let record: Arc<Record> = serde_json::from_str(&event.data).map_err(garbage)?;
                self.backoff.reset();
                self.record(record)
            }
            consumed::BACKLOG => {
                let told: Backlog = serde_json::from_str(&event.data).map_err(garbage)?;
                self.shared.lock().status.backlog = told.backlog;
                Ok(())
            }
            consumed::END => {
                let problem: Problem = serde_json::from_str(&event.data).map_err(garbage)?;
                Err(self.left(Failure::Refused(problem)))
            }
            // Of a later release.
            _ => Ok(()),
        }
    }

    fn record(&mut self, record: Arc<Record>) -> Result<(), Leave> {
        let position = record.position;
        if !self.held.contains(&position) {
            return self.hand_out(record);
        }
        if self.outbox.has(position) {
            self.again.insert(position, record);
        } else {
            tracing::warn!(%position, "handed out twice by the feed; skipped");
        }
        Ok(())
    }

    fn hand_out(&mut self, record: Arc<Record>) -> Result<(), Leave> {
        self.held.insert(record.position);
        self.shared.lock().status.in_flight = self.held.len();
        match self.records.try_send(record) {
            // Nobody reads any more; what was read is still acknowledged.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(record)) => {
                self.held.remove(&record.position);
                Err(Leave::Cut("the feed hands out more than it was asked for".to_owned()))
            }
        }
    }

    /// What a failure means for the connection.
    fn left(&mut self, failure: Failure) -> Leave {
        let Failure::Refused(problem) = &failure else { return Leave::Cut(failure.to_string()) };
        match verdict(problem.code) {
            Verdict::Superseded if self.unsure.0 > 0 && Instant::now() < self.unsure.1 => {
                // Perhaps by an opening of this process whose answer was lost.
                self.unsure.0 -= 1;
                Leave::Cut(failure.to_string())
            }
            Verdict::Never | Verdict::Superseded | Verdict::Forgotten => {
                Leave::End(failure.of_consumer(&self.shared.name, self.open.generation))
            }
            Verdict::Later | Verdict::Reopen => Leave::Cut(failure.to_string()),
        }
    }
}
