//! One connection: subscribe, catch up while frames queue, then live until something ends.

use crate::{
    Batch, Client, ClientError, Fingerprint, Known, MasterState, Settings, Sink, SinkError,
    StateKind,
    assembler::{Assembler, Need, Observation, by_time, present},
    history,
    socket::{Incoming, Socket},
    survey,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Event, Live, WorkerId};
use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Most observations of one batch.
const BATCH: usize = 256;
/// Longest wait of an observation for others of its batch.
const LINGER: Duration = Duration::from_millis(25);
/// REST reads at the same time.
const READS: usize = 4;
/// How long the list of builders settles after the last frame that tells of a change.
const SETTLE: Duration = Duration::from_secs(2);
/// How soon to reconcile after a frame that could not be understood.
const DOUBT: Duration = Duration::from_secs(1);
/// Longest wait before the loading of history, once it broke off, goes on where it was.
const HISTORY_AGAIN: Duration = Duration::from_secs(15);
/// Waits between tries of a read that the master answers with an error.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// How many keys the older fingerprint stays below the newest, at least.
const APART: u64 = 100;

/// Why a connection ended.
pub(super) enum End {
    Cancelled,
    Client(ClientError),
    Sink(SinkError),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<SinkError> for End {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

type Reads = JoinSet<Result<Vec<Observation>, ClientError>>;

/// One connection to a master, from the journal's state on.
pub(super) struct Session<'a, S> {
    client: &'a Client,
    settings: &'a Settings,
    sink: &'a mut S,
    cancel: CancellationToken,
    assembler: Assembler,
    fingerprints: Vec<Fingerprint>,
    fresh: bool,
    /// What is to be committed, of how many observations, and when at the latest.
    batch: Batch,
    size: usize,
    due: Option<Instant>,
    live: Vec<Live>,
    needs: VecDeque<Need>,
    was_live: bool,
}

impl<'a, S: Sink> Session<'a, S> {
    pub(super) fn new(
        client: &'a Client,
        settings: &'a Settings,
        sink: &'a mut S,
        cancel: CancellationToken,
    ) -> Self {
        let Known { world, database, fingerprints, fresh } = sink.known();
        let known = Known { world, database, fingerprints: Vec::new(), fresh };
        Self {
            client,
            settings,
            sink,
            cancel,
            assembler: Assembler::new(known),
            fingerprints,
            fresh,
            batch: Batch::default(),
            size: 0,
            due: None,
            live: Vec::new(),
            needs: VecDeque::new(),
            was_live: false,
        }
    }

    /// Runs until something ends it; tells also whether it was live.
    pub(super) async fn run(mut self) -> (End, bool) {
        let cancel = self.cancel.clone();
        let connected = tokio::select! {
            biased;
            () = cancel.cancelled() => return (End::Cancelled, false),
            connected = self.connect() => connected,
        };
        let end = match connected {
            Err(end) => end,
            Ok(socket) => match self.follow(socket).await {
                Ok(end) | Err(end) => end,
            },
        };
        (end, self.was_live)
    }

    /// Subscribes, and catches up while frames queue.
    async fn connect(&mut self) -> Result<Socket, End> {
        let began = Instant::now();
        let meta = self.client.meta().await?;
        let socket = Socket::open(self.client, self.settings).await?;
        let text = format!("connected to {}; reading what was missed", self.settings.url);
        self.sink.state(MasterState::now(StateKind::CatchingUp, text));
        if !self.same_database().await? {
            tracing::warn!("the master has another database than before: a new epoch begins");
            self.assembler = Assembler::new(Known::default());
            self.batch.new_database = true;
            self.fresh = true;
        }
        self.observe(meta);
        self.observe(self.client.builders().await?);
        self.observe(self.client.workers().await?);
        if self.fresh {
            self.observe(survey::baseline(self.client).await?);
        }
        let (builds, _) = survey::open_keys(&self.assembler);
        self.needs.extend(builds.into_iter().map(Need::Build));
        let (_, requests) = survey::open_keys(&self.assembler);
        let mut survey = survey::Survey::above(self.assembler.world().highest);
        let opened = survey::opened(self.client, &[], &requests).await?;
        // Those that have ended wait until their builds are known, which are in the survey.
        let (ended, mut seen): (Vec<_>, Vec<_>) = opened.into_iter().partition(
            |seen| matches!(seen, Observation::Request(request) if request.outcome.is_some()),
        );
        loop {
            seen.extend(survey.next(self.client).await?);
            std::mem::take(&mut seen).into_iter().for_each(|o| self.observe(o));
            self.meet_all().await?;
            self.flush_found().await?;
            if survey.is_done() {
                break;
            }
        }
        ended.into_iter().for_each(|o| self.observe(o));
        self.observe(Observation::CaughtUp);
        self.meet_all().await?;
        self.flush_found().await?;
        self.settings.metrics.caught_up(began.elapsed());
        Ok(socket)
    }

    /// Commits what was found by catching up, in the order in which it happened.
    async fn flush_found(&mut self) -> Result<(), SinkError> {
        by_time(&mut self.batch.events);
        self.settings.metrics.found(&self.batch.events);
        self.flush().await
    }

    /// Whether the master still has the builds that are known.
    async fn same_database(&self) -> Result<bool, ClientError> {
        let newest = self.fingerprints.iter().map(|f| f.build).max();
        for known in &self.fingerprints {
            match self.client.fingerprint(known.build).await {
                Ok(Some(found)) if found != *known => return Ok(false),
                // Old builds may be cleaned away; the newest may not.
                Ok(None) if Some(known.build) == newest => return Ok(false),
                // What it is cannot be told, so not that it is another.
                Err(ClientError::Garbage(_) | ClientError::TooLarge { .. }) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Stays live until something ends it.
    async fn follow(&mut self, mut socket: Socket) -> Result<End, End> {
        self.was_live = true;
        let text = format!("connected to {}", self.settings.url);
        self.sink.live(Live::Master { connected: true, text: text.clone() });
        self.sink.state(MasterState::now(StateKind::Live, text));
        let mut reads = Reads::new();
        let mut reconcile = Instant::now() + self.settings.reconcile;
        let mut builders: Option<Instant> = None;
        // Workers that frames told of since the last comparison began.
        let mut told: HashSet<WorkerId> = HashSet::new();
        let (sender, mut history) = mpsc::channel(2);
        let mut loading = JoinSet::new();
        let mut load = Some(Instant::now());
        loop {
            while reads.len() < READS {
                let Some(need) = self.needs.pop_front() else { break };
                let client = self.client.clone();
                reads.spawn(async move { Ok(vec![meet(&client, need).await?]) });
            }
            if self.size >= BATCH {
                self.flush().await?;
            }
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => {
                    self.flush().await?;
                    return Ok(End::Cancelled);
                }
                () = until(self.due) => self.flush().await?,
                Some(read) = reads.join_next(), if !reads.is_empty() => {
                    let seen = read.unwrap_or_else(|e| Err(broken(&e)))?;
                    for mut observation in seen {
                        // What a frame told since is newer than the list.
                        if let Observation::Workers(all) = &mut observation {
                            all.retain(|worker| !told.contains(&worker.id));
                        }
                        self.observe(observation);
                    }
                }
                incoming = socket.next() => {
                    let mut incoming = Some(incoming);
                    while let Some(next) = incoming {
                        match next {
                            Incoming::Observation(o) => {
                                if o == Observation::Doubt {
                                    reconcile = reconcile.min(Instant::now() + DOUBT);
                                }
                                if let Observation::Worker(worker) = &o {
                                    told.insert(worker.id);
                                }
                                self.observe(o);
                            }
                            Incoming::Builders => builders = Some(Instant::now() + SETTLE),
                            Incoming::Lost(error) => {
                                self.flush().await?;
                                return Err(error.into());
                            }
                        }
                        incoming = if self.size < BATCH { socket.waiting() } else { None };
                    }
                }
                () = until(builders) => {
                    builders = None;
                    self.needs.push_back(Need::Builders);
                }
                () = sleep_until(reconcile) => {
                    reconcile = Instant::now() + self.settings.reconcile;
                    let (builds, requests) = survey::open_keys(&self.assembler);
                    let highest = self.assembler.world().highest;
                    told.clear();
                    reads.spawn(survey::reconcile(self.client.clone(), highest, builds, requests));
                }
                Some(past) = history.recv() => {
                    self.observe(past);
                    self.flush().await?;
                }
                () = until(load) => {
                    load = None;
                    let (highest, most) = (self.assembler.world().highest, self.settings.history_builds);
                    if highest.history.0 > 0 {
                        let (client, sender) = (self.client.clone(), sender.clone());
                        let change = highest.change.0;
                        loading.spawn(history::load(client, highest.history, change, most, sender));
                    }
                }
                Some(end) = loading.join_next(), if !loading.is_empty() => {
                    if let Err(error) = end.unwrap_or_else(|e| Err(broken(&e))) {
                        tracing::warn!(%error, "history is not loaded yet; it will be tried again");
                        load = Some(Instant::now() + self.settings.reconcile.min(HISTORY_AGAIN));
                    }
                }
            }
        }
    }

    /// Feeds the assembler, and gathers what follows.
    fn observe(&mut self, observation: Observation) {
        let effects = self.assembler.observe(observation);
        self.batch.seen.get_or_insert_with(SystemTime::now);
        self.batch.events.extend(effects.events);
        self.batch.history.extend(effects.history);
        self.batch.history_changes.extend(effects.history_changes);
        self.batch.dirty.merge(effects.dirty);
        self.live.extend(effects.live);
        self.needs.extend(effects.needs);
        self.size += 1;
        self.due.get_or_insert_with(|| Instant::now() + LINGER);
    }

    /// Makes all reads that are needed, in the order in which they were asked for.
    async fn meet_all(&mut self) -> Result<(), ClientError> {
        while !self.needs.is_empty() {
            let needs: Vec<Need> = self.needs.drain(..).collect();
            let client = self.client;
            let seen: Vec<Observation> = stream::iter(needs)
                .map(|need| meet(client, need))
                .buffered(READS)
                .try_collect()
                .await?;
            seen.into_iter().for_each(|o| self.observe(o));
        }
        Ok(())
    }

    /// Commits what was gathered; passing signs of life follow the events they belong to.
    async fn flush(&mut self) -> Result<(), SinkError> {
        (self.size, self.due) = (0, None);
        let mut batch = std::mem::take(&mut self.batch);
        self.update_fingerprints(&mut batch);
        if !batch.is_empty() {
            self.sink.commit(batch, self.assembler.world()).await?;
        }
        for live in std::mem::take(&mut self.live) {
            if let Some(live) = present(self.assembler.world(), live) {
                self.sink.live(live);
            }
        }
        Ok(())
    }

    /// Keeps the newest build and an older one as marks of the master's database.
    fn update_fingerprints(&mut self, batch: &mut Batch) {
        let started = batch.events.iter().filter_map(|event| match event {
            Event::BuildStarted { build } => Some(Fingerprint::of(build)),
            _ => None,
        });
        let past = batch.history.iter().map(Fingerprint::of);
        if batch.new_database {
            // The marks of the old one would make another new database of each connection.
            self.fingerprints.clear();
            batch.fingerprints = Some(Vec::new());
        }
        let Some(newest) = started.chain(past).max_by_key(|f| f.build) else { return };
        self.fingerprints.sort_by_key(|f| f.build);
        match self.fingerprints.as_slice() {
            [.., known] if known.build >= newest.build => return,
            [_, known] if known.build.0 + APART <= newest.build.0 => {
                self.fingerprints = vec![*known, newest];
            }
            [older, ..] => self.fingerprints = vec![*older, newest],
            [] => self.fingerprints = vec![newest],
        }
        batch.fingerprints = Some(self.fingerprints.clone());
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// A task that died; it has no reason to.
fn broken(error: &tokio::task::JoinError) -> ClientError {
    ClientError::Unreachable(format!("a read was broken off: {error}"))
}

/// Reads what is needed; an answer that stays an error, or stays away, is given up after some tries,
/// so that one row that the master cannot give does not hold up all others.
async fn meet(client: &Client, need: Need) -> Result<Observation, ClientError> {
    let mut waits = AGAIN.into_iter();
    loop {
        let error = match client.meet(need.clone()).await {
            Err(error) if is_of_one_row(client, &error).await => error,
            other => return other,
        };
        let Some(wait) = waits.next() else {
            tracing::warn!(?need, %error, "given up; the event goes on without it");
            return Ok(Observation::Unreadable(need));
        };
        sleep(wait).await;
    }
}

/// Whether an error is about what was asked for, and not about the master: it answers other questions.
async fn is_of_one_row(client: &Client, error: &ClientError) -> bool {
    match error {
        ClientError::Status { .. } | ClientError::Garbage(_) => true,
        ClientError::Slow { .. } | ClientError::Unreachable(_) | ClientError::NotBuildbot(_) => {
            client.meta().await.is_ok()
        }
        _ => false,
    }
}
