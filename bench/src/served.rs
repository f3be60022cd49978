//! A feed served over HTTP on loopback, and readers of it.

use crate::Measured;
use feed::{
    Feed,
    http::{
        client::{Remote, RemoteOptions},
        server::{About, Limits, State, serve},
        token::{Claims, Keys, Kind, Right},
    },
};
use model::Links;
use std::{fs, net::SocketAddr};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    uid: String,
    keys: Keys,
    tokens: TempDir,
    cancel: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Served {
    /// Serves `feed`, on the runtime that calls.
    ///
    /// # Errors
    /// No port or no file can be had.
    pub async fn start(feed: &Feed) -> Measured<Self> {
        let tokens = tempfile::tempdir()?;
        fs::write(tokens.path().join("1"), "a key of thirty-two bytes or more")?;
        let keys = Keys::from_dir(tokens.path())?;
        let about = About {
            namespace: "default".to_owned(),
            name: "main".to_owned(),
            links: Links::master("http://master.example.org/"),
            release: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cancel = CancellationToken::new();
        let state = State::new(feed.clone(), keys.clone(), about);
        tokio::spawn(serve(listener, state, Limits::default(), cancel.clone()));
        Ok(Self { address, uid: feed.master_uid().to_owned(), keys, tokens, cancel })
    }

    /// The token of a consumer, with the right to read as well.
    pub fn token(&self, consumer: &str) -> String {
        self.keys.sign(&Claims {
            master_uid: self.uid.clone(),
            consumer: consumer.to_owned(),
            kind: Kind::new("HttpPush"),
            rights: [Right::Read, Right::Consume].into(),
            expires: None,
        })
    }

    /// A client with a token, and so a connection pool, of its own.
    ///
    /// # Errors
    /// The token can't be written.
    pub fn remote(&self, consumer: &str) -> Measured<Remote> {
        let file = self.tokens.path().join(format!("{consumer}.token"));
        fs::write(&file, self.token(consumer))?;
        let url = format!("http://{}/", self.address);
        Ok(Remote::new(&url, &file, RemoteOptions::default())?)
    }
}
