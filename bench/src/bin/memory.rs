//! Memory of a feed and its server while readers are slow, or never read at all.
//!
//! `cargo xtask bench memory`. Durable consumers and readers without a place, each 100,000 events
//! behind: some read 4 KiB ten times a second, some open their stream and read nothing.
#![allow(clippy::print_stdout, reason = "a terminal program")]

use bench::{Measured, figures, recorded, served::Served};
use feed::{Feed, Options};
use master::{Batch, Sink as _};
use model::{Event, World};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

const BEHIND: usize = 100_000;
const MORE: usize = 20_000;
/// Readers of each of the four kinds.
const READERS: usize = 10;
const WATCHED: u64 = 30;

#[tokio::main]
async fn main() -> Measured {
    println!("{}", figures::machine());
    let dir = tempfile::tempdir()?;
    // As the program opens it.
    let options = Options { cache_bytes: 8 << 20, ..Options::default() };
    let feed = Feed::open(dir.path(), options)?;
    let served = Served::start(&feed).await?;
    let begin = format!("{}.0", feed.head().epoch);
    let mut generations = Vec::new();
    for n in 0..2 * READERS {
        generations.push(open(&served, &format!("behind-{n}")).await?);
    }
    say("empty")?;
    journal(&feed, BEHIND).await?;
    say(&format!("{BEHIND} events journaled, nobody reads"))?;

    let mut readers = JoinSet::new();
    for (n, generation) in generations.into_iter().enumerate() {
        let name = format!("behind-{n}");
        let path = format!("/v1/consumers/{name}/events?generation={generation}");
        let durable = stream(served.address, &path, &served.token(&name)).await?;
        readers.spawn(read(durable, n < READERS));
        let path = format!("/v1/events?from={begin}");
        let passing = stream(served.address, &path, &served.token(&name)).await?;
        readers.spawn(read(passing, n < READERS));
    }
    watch(&format!("{READERS} + {READERS} slow, {READERS} + {READERS} that never read")).await?;
    journal(&feed, MORE).await?;
    watch(&format!("the same, and {MORE} events more")).await?;
    let backlog = feed.consumers().iter().map(|status| status.backlog).min().unwrap_or_default();
    if backlog < (BEHIND / 2) as u64 {
        return Err(format!("a reader that is meant to be slow is {backlog} events behind").into());
    }
    readers.shutdown().await;
    watch("readers gone").await?;
    feed.close().await;
    Ok(())
}

/// The most memory within some seconds.
async fn watch(what: &str) -> Measured {
    let mut most = 0;
    for _ in 0..WATCHED {
        tokio::time::sleep(Duration::from_secs(1)).await;
        most = most.max(resident()?);
    }
    println!("{what:<50} {:6.1} MiB (most in {WATCHED} s)", mib(most));
    Ok(())
}

fn resident() -> Measured<u64> {
    Ok(figures::resident(std::process::id()).ok_or("the system does not tell of memory")?)
}

fn say(what: &str) -> Measured {
    println!("{what:<50} {:6.1} MiB", mib(resident()?));
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

async fn journal(feed: &Feed, count: usize) -> Measured {
    let events = recorded::events()?;
    let mut ingest = feed.ingest();
    let mut all = events.iter().cycle();
    for _ in 0..count / 500 {
        let events: Vec<Event> = all.by_ref().take(500).cloned().collect();
        ingest.commit(Batch { events, ..Batch::default() }, &World::default()).await?;
    }
    Ok(())
}

/// Opens a durable consumer; its generation.
async fn open(served: &Served, name: &str) -> Measured<u64> {
    let mut socket = TcpStream::connect(served.address).await?;
    let request = format!(
        "POST /v1/consumers/{name}/open HTTP/1.1\r\nHost: feed\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        served.token(name)
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let opened: Value = serde_json::from_str(body)?;
    Ok(opened["generation"].as_u64().ok_or(answer)?)
}

/// A stream whose answer has begun.
async fn stream(address: SocketAddr, path: &str, token: &str) -> Measured<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: feed\r\nAuthorization: Bearer {token}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    socket.read_exact(&mut head).await?;
    if &head != b"HTTP/1.1 200" {
        return Err(format!("{path}: {}", String::from_utf8_lossy(&head)).into());
    }
    Ok(socket)
}

/// Reads slowly, or holds the socket and reads nothing.
async fn read(mut socket: TcpStream, slowly: bool) {
    if !slowly {
        std::future::pending::<()>().await;
    }
    let mut bytes = [0; 4096];
    while socket.read(&mut bytes).await.is_ok_and(|count| count > 0) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
