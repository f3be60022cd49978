//! A fake: what the operator asks of feeds, answered for all of them by this process, since nothing runs in the pods of
//! pretend nodes. All peers are reachable; the figures grow when they are told to.

use crate::fleet::Fleet;
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use bench::Measured;
use feed::{
    ConsumerStatus, Peer, PeerState, Report,
    http::api::{Consumers, Info},
};
use master::{MasterState, StateKind};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The feeds of a fleet.
pub struct Feeds {
    /// Where they are, as `--feeds-at` takes it.
    pub at: String,
    /// What each consumer has delivered.
    pub delivered: Arc<AtomicU64>,
}

struct Said {
    /// Names of consumers by namespace.
    consumers: HashMap<String, Vec<String>>,
    delivered: Arc<AtomicU64>,
}

impl Feeds {
    /// Serves the feeds of a fleet, with these consumers besides.
    pub async fn serve(fleet: &Fleet, besides: &[(&str, &str)]) -> Measured<Self> {
        let delivered = Arc::new(AtomicU64::new(1));
        let mut consumers: HashMap<String, Vec<String>> = HashMap::new();
        for member in fleet.members() {
            if let Some(name) = member.consumer() {
                consumers.entry(member.namespace).or_default().push(name);
            }
        }
        for (namespace, name) in besides {
            consumers.entry((*namespace).to_owned()).or_default().push((*name).to_owned());
        }
        let said = Arc::new(Said { consumers, delivered: Arc::clone(&delivered) });
        let router = Router::new()
            .route("/{namespace}/{name}/v1/info", get(info))
            .route("/{namespace}/{name}/v1/consumers", get(all))
            .with_state(said);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let at = format!("http://{}/{{namespace}}/{{name}}/", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { at, delivered })
    }
}

async fn info(Path((namespace, name)): Path<(String, String)>) -> Json<Info> {
    Json(Info {
        master_uid: "fake".to_owned(),
        namespace,
        name,
        links: model::Links::master("http://buildbot.example.org/"),
        head: model::Position { epoch: 1, seq: 1 },
        state: MasterState::now(StateKind::Live, "live"),
        journal_lost: None,
        journal_lost_reason: None,
        problem: None,
        builders: 10,
        running: 0,
        release: "fake".to_owned(),
    })
}

async fn all(
    State(said): State<Arc<Said>>,
    Path((namespace, _)): Path<(String, String)>,
) -> Json<Consumers> {
    let delivered = said.delivered.load(Ordering::Relaxed);
    let names = said.consumers.get(&namespace).into_iter().flatten();
    let peer = Peer { state: PeerState::Reachable, ..Peer::default() };
    let consumers = names.map(|name| ConsumerStatus {
        name: name.clone(),
        floor: model::Position { epoch: 1, seq: delivered },
        backlog: 0,
        in_flight: 0,
        dead_letters: 0,
        delivered,
        failed: 0,
        last_delivered_ms: Some(1_700_000_000_000 + i64::try_from(delivered).unwrap_or(0) * 1000),
        expired: 0,
        refilled: 0,
        gap: None,
        journal_lost: None,
        generation: 1,
        last_seen_ms: 1_700_000_000_000,
        report: Some(Report { at_ms: 0, peer: peer.clone(), problem: None }),
    });
    Json(Consumers { consumers: consumers.collect(), readers: Vec::new() })
}
