//! A relay that knows requests from answers, and spoils one of them in a way that no real network
//! or feed can be made to do on time.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// What becomes of a request for `/v1/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The answer's head arrives, and then the connection is cut.
    HeadOnly,
    /// The reader's place is of a form that the feed does not know.
    OddPlace,
}

/// See the module.
pub struct Relay {
    pub address: SocketAddr,
    harms: Arc<Mutex<VecDeque<Harm>>>,
}

impl Relay {
    /// Before the server at `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let harms = Arc::<Mutex<VecDeque<Harm>>>::default();
        let to_come = Arc::clone(&harms);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let harms = Arc::clone(&to_come);
                tokio::spawn(async move { pass(near, far, &harms).await });
            }
        });
        Self { address, harms }
    }

    /// To the next request for events that has not been spoilt yet.
    pub fn spoil(&self, harm: Harm) {
        self.harms.lock().unwrap().push_back(harm);
    }

    /// Whether all that was to be spoilt is.
    pub fn is_done(&self) -> bool {
        self.harms.lock().unwrap().is_empty()
    }
}

/// Carries one request and its answer.
async fn pass(
    mut near: TcpStream,
    mut far: TcpStream,
    harms: &Mutex<VecDeque<Harm>>,
) -> Option<()> {
    let mut request = head(&mut near).await?;
    // One request for each connection, so that it is known which one an answer belongs to.
    request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let harm = match request.starts_with("GET /v1/events") {
        true => harms.lock().unwrap().pop_front(),
        false => None,
    };
    if harm == Some(Harm::OddPlace) {
        request = request.replacen("last-event-id: ", "last-event-id: odd-", 1);
    }
    far.write_all(request.as_bytes()).await.ok()?;
    if harm == Some(Harm::HeadOnly) {
        let answer = head(&mut far).await?;
        near.write_all(answer.as_bytes()).await.ok()?;
        return None;
    }
    copy_bidirectional(&mut near, &mut far).await.ok().map(|_| ())
}

/// All up to the empty line.
async fn head(from: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(char::from(from.read_u8().await.ok()?));
    }
    Some(text)
}
