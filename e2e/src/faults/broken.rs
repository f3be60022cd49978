//! A target that breaks the promise on purpose, to show that the campaign's verdict says so.
//!
//! It stands in for `buildbot-status target` of the push: same feed, same consumer, same receiver.

use feed::{
    ConsumerOptions,
    http::client::{Remote, RemoteConsumer, RemoteOptions},
};
use model::{Build, Event};
use serde_json::json;
use std::{path::Path, time::Duration};
use tokio::time::sleep;

/// The push's place in the journal.
const CONSUMER: &str = "http_push/push";
/// The build about whose end it goes wrong, counted from 1: others are before and after it.
const WRONG: u64 = 4;

/// What it does wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Broken {
    /// It acknowledges what it has not sent.
    Forgets,
    /// It sends again what was answered.
    Repeats,
}

impl Broken {
    /// As it is said on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forgets => "forgets",
            Self::Repeats => "repeats",
        }
    }
}

/// Pushes the ends of builds to `receiver`, for as long as the feed lets it.
pub async fn run(broken: Broken, feed: &str, token: &Path, receiver: &str) {
    let mut consumer = open(feed, token).await;
    let handle = consumer.handle();
    let http = reqwest::Client::new();
    let mut seen = 0;
    let mut packet = 0;
    while let Ok(record) = consumer.next().await {
        let Event::BuildFinished { build } = &record.event else {
            // Most records are of no interest: to wait for each would cost each a transaction.
            let handle = handle.clone();
            tokio::spawn(async move { handle.acknowledge(record.position, None).await });
            continue;
        };
        seen += 1;
        let wrong = seen == WRONG;
        let times = match broken {
            Broken::Forgets if wrong => 0,
            Broken::Repeats if wrong => 2,
            _ => 1,
        };
        packet += u64::from(times > 0);
        for _ in 0..times {
            push(&http, receiver, packet, build).await;
        }
        if handle.acknowledge(record.position, None).await.is_err() {
            break;
        }
    }
}

/// The feed may not be there yet.
async fn open(feed: &str, token: &Path) -> RemoteConsumer {
    loop {
        let remote = Remote::new(feed, token, RemoteOptions::default()).unwrap();
        match remote.consumer(CONSUMER, ConsumerOptions::default()).await {
            Ok(consumer) => return consumer,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// As `HttpPush` does, as far as the judge reads it; until it is answered.
async fn push(http: &reqwest::Client, receiver: &str, packet: u64, build: &Build) {
    let packets = json!([{
        "id": packet, "started": "broken", "event": "buildFinished",
        "payload": {"build": {
            "number": build.number, "builderName": build.builder.name.to_string(),
            "reason": build.buildset.reason, "times": [build.started_at.0, build.complete_at.map(|at| at.0)],
        }},
    }]);
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let form = form.append_pair("packets", &packets.to_string()).finish();
    while http.post(receiver).body(form.clone()).send().await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
}
