//! What the tests of the whole client share: a journal in memory, and a wire to cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use master::{Batch, Fingerprint, Known, MasterState, Settings, Sink, SinkError, StateKind, run};
use model::{Build, Change, Event, Live, World};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// What a journal has taken.
#[derive(Default)]
pub struct Store {
    pub world: World,
    pub database: u32,
    pub fingerprints: Vec<Fingerprint>,
    pub events: Vec<Event>,
    pub history: Vec<Build>,
    pub history_changes: Vec<Change>,
    pub live: Vec<Live>,
    pub states: Vec<MasterState>,
    pub commits: usize,
    /// How many commits are to fail, as on a full disk.
    pub refuse: usize,
}

impl Store {
    pub fn finished(&self) -> Vec<&Build> {
        let of = |event: &'_ Event| matches!(event, Event::BuildFinished { .. });
        let mut builds = Vec::new();
        for event in self.events.iter().filter(|e| of(e)) {
            if let Event::BuildFinished { build } = event {
                builds.push(build.as_ref());
            }
        }
        builds
    }

    pub fn saw(&self, kind: StateKind) -> bool {
        self.states.iter().any(|state| state.kind == kind)
    }

    pub fn is_live(&self) -> bool {
        self.states.last().is_some_and(|state| state.kind == StateKind::Live)
    }
}

/// A journal in memory; clones share it.
#[derive(Clone, Default)]
pub struct Memory {
    store: Arc<Mutex<Store>>,
    changed: watch::Sender<u64>,
}

impl Memory {
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    fn changed(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Waits until something is so; fails after a minute.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Store) -> bool) {
        let mut changes = self.changed.subscribe();
        let wait = async {
            while !is_so(&self.store()) {
                changes.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), wait).await.is_err() {
            let store = self.store();
            let states: Vec<_> = store.states.iter().map(|s| (s.kind, &s.text)).collect();
            panic!("never: {what}\n{states:#?}\n{} events", store.events.len());
        }
    }
}

impl Sink for Memory {
    fn known(&self) -> Known {
        let store = self.store();
        Known {
            world: store.world.clone(),
            database: store.database,
            fingerprints: store.fingerprints.clone(),
            fresh: store.commits == 0,
        }
    }

    async fn commit(&mut self, batch: Batch, world: &World) -> Result<(), SinkError> {
        let mut store = self.store();
        if store.refuse > 0 {
            store.refuse -= 1;
            return Err(SinkError::Write("no space left on device".to_owned()));
        }
        store.database += u32::from(batch.new_database);
        store.events.extend(batch.events);
        store.history.extend(batch.history);
        store.history_changes.extend(batch.history_changes);
        if let Some(fingerprints) = batch.fingerprints {
            store.fingerprints = fingerprints;
        }
        (store.world, store.commits) = (world.clone(), store.commits + 1);
        drop(store);
        self.changed();
        Ok(())
    }

    fn live(&self, live: Live) {
        self.store().live.push(live);
        self.changed();
    }

    fn state(&self, state: MasterState) {
        self.store().states.push(state);
        self.changed();
    }
}

/// A client that follows a master into a journal.
pub struct Run {
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Run {
    pub fn of(settings: Settings, journal: &Memory) -> Self {
        let cancel = CancellationToken::new();
        Self { task: tokio::spawn(run(settings, journal.clone(), cancel.clone())), cancel }
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

/// A wire to a server that can be cut, or fall silent.
pub struct Wire {
    pub address: SocketAddr,
    cut: watch::Sender<CancellationToken>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = watch::Sender::new(CancellationToken::new());
        let current = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let cut = current.borrow().clone();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        () = cut.cancelled() => {}
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self { address, cut }
    }

    /// Cuts all connections; new ones may be made.
    pub fn cut(&self) {
        self.cut.send_replace(CancellationToken::new()).cancel();
    }
}
