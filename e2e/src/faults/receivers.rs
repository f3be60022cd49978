//! Fake receivers of mail and pushes: they take what comes, keep it with its identity, and answer
//! as badly as they are told to.
//!
//! What a receiver took but did not answer whole, its sender cannot know to be taken: the repeat
//! that follows is nobody's fault and is counted apart.

mod http;
mod smtp;

use serde_json::Value;
use std::{
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How a receiver behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Good,
    /// 500, or 451 after the mail: not now.
    Fails,
    /// 429 with Retry-After, or 450 to the sender: slower.
    Throttles,
    /// 401, or 535 to the recipient: the sender is not known.
    Denies,
    /// Takes the connection and says nothing until the manner changes; then it closes.
    Hangs,
    /// Takes the message, keeps it, and closes in the middle of its answer.
    Breaks,
    /// Closes before the message is read.
    Drops,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// What it is: lines of the mail, or packets.
    pub content: Content,
    /// Whether the answer went out whole.
    pub answered: bool,
}

/// What a message holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A mail: its Message-ID and what its body says of the build.
    Mail {
        /// With angle brackets.
        id: String,
        /// The body's first line.
        text: String,
    },
    /// A push: its packets.
    Packets(Vec<Value>),
}

struct Inner {
    taken: Mutex<Vec<Taken>>,
    manner: watch::Sender<Manner>,
    log: Mutex<File>,
}

/// A receiver. Dropping it ends it.
pub struct Receiver {
    inner: Arc<Inner>,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Takes pushes by HTTP; what it took is in `log` too.
    pub async fn http(log: &Path) -> Self {
        let (inner, listener) = Inner::new(log).await;
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(http::listen(Arc::clone(&inner), listener));
        Self { inner, port, task }
    }

    /// Takes mail by SMTP; what it took is in `log` too.
    pub async fn smtp(log: &Path) -> Self {
        let (inner, listener) = Inner::new(log).await;
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(smtp::listen(Arc::clone(&inner), listener));
        Self { inner, port, task }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        self.inner.manner.send_replace(manner);
    }

    /// Everything that it took, in order.
    pub fn taken(&self) -> Vec<Taken> {
        self.inner.lock().clone()
    }
}

impl Inner {
    async fn new(log: &Path) -> (Arc<Self>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Self {
            taken: Mutex::default(),
            manner: watch::Sender::new(Manner::Good),
            log: Mutex::new(File::create(log).unwrap()),
        };
        (Arc::new(inner), listener)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap()
    }

    /// Keeps a message whose answer is still to be given; gives its place.
    fn keep(&self, content: Content) -> usize {
        let line = match &content {
            Content::Mail { id, text } => format!("{id} {text}\n"),
            Content::Packets(packets) => {
                let said =
                    |p: &Value| format!("{} {}", p["id"], p["event"].as_str().unwrap_or("?"));
                format!("{}\n", packets.iter().map(said).collect::<Vec<_>>().join(", "))
            }
        };
        let _ = self.log.lock().unwrap().write_all(line.as_bytes());
        let mut taken = self.lock();
        taken.push(Taken { content, answered: false });
        taken.len() - 1
    }

    fn answered(&self, place: usize) {
        self.lock()[place].answered = true;
    }

    fn manner(&self) -> Manner {
        *self.manner.borrow()
    }

    /// Says nothing until the manner is another one.
    async fn hang(&self) {
        let _ = self.manner.subscribe().wait_for(|manner| *manner != Manner::Hangs).await;
    }
}
