//! A journal and a reader of it, in this process or over HTTP, and a proxy that does harm.
#![allow(dead_code, reason = "each test file uses some")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod proxy;
pub mod relay;

use crate::{
    common::open,
    served::{NAME, Served, limits, served_with, token},
};
use feed::{
    AnyFeed, Feed,
    http::{
        client::{Remote, RemoteOptions},
        token::Right,
    },
};
use std::{net::SocketAddr, path::Path, time::Duration};

/// A journal, and a reader of it.
pub struct Stage {
    /// Where things are put in.
    pub journal: Feed,
    /// What is tested.
    pub feed: AnyFeed,
    pub served: Option<Served>,
    pub dir: tempfile::TempDir,
}

impl Stage {
    /// The reader is in this process.
    pub async fn local() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir.path().join("data"));
        Self { feed: journal.clone().into(), journal, served: None, dir }
    }

    /// The reader asks over HTTP.
    pub async fn remote() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir.path().join("data"));
        let served = served_with(journal.clone(), limits()).await;
        let feed = reader(&dir.path().join("token"), &journal, served.address, options());
        Self { feed: feed.into(), journal, served: Some(served), dir }
    }
}

/// As in earnest, but quick to try again.
pub fn options() -> RemoteOptions {
    RemoteOptions {
        retry: (Duration::from_millis(5), Duration::from_millis(50)),
        ..RemoteOptions::default()
    }
}

/// Somebody who may do everything, with a token in `file`.
pub fn reader(file: &Path, feed: &Feed, at: SocketAddr, options: RemoteOptions) -> Remote {
    std::fs::write(file, token(feed.master_uid(), NAME, &Right::ALL)).unwrap();
    Remote::new(&format!("http://{at}/"), file, options).unwrap()
}
