//! The websocket: subscriptions, pings, and frames that are repeated, overtaken, lost or withheld.

use super::Shared;
use futures_util::{SinkExt as _, StreamExt as _};
use rand::{Rng as _, rngs::StdRng};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::tungstenite::Message;

/// What happens to frames that a real connection would carry in order, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameFaults {
    /// How probable it is that a frame is sent twice.
    pub repeated: f64,
    /// That it comes after a few that followed it.
    pub overtaken: f64,
    /// That it never comes.
    pub lost: f64,
}

/// One consumer of frames.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub number: u64,
    paths: Vec<String>,
    frames: mpsc::UnboundedSender<String>,
    /// Frames that are to come after others: how many yet, and which.
    held: Vec<(u32, String)>,
}

impl Subscriber {
    /// Hands a frame on, if it was subscribed to.
    pub(super) fn tell(&mut self, key: &str, text: &str, faults: FrameFaults, random: &mut StdRng) {
        if !self.paths.iter().any(|path| covers(path, key)) {
            return;
        }
        let mut due = Vec::new();
        self.held.retain_mut(|(after, held)| {
            *after -= 1;
            if *after == 0 {
                due.push(std::mem::take(held));
            }
            *after > 0
        });
        if random.random_bool(faults.lost) {
        } else if random.random_bool(faults.overtaken) {
            self.held.push((random.random_range(1..8), text.to_owned()));
        } else {
            due.insert(0, text.to_owned());
            if random.random_bool(faults.repeated) {
                let again = random.random_range(1..30);
                self.held.push((again, text.to_owned()));
            }
        }
        for frame in due {
            // The connection may be gone already.
            let _ = self.frames.send(frame);
        }
    }
}

/// Whether a path (`*` is exactly one segment) covers a routing key.
fn covers(path: &str, key: &str) -> bool {
    let (mut path, mut key) = (path.split('/'), key.split('/'));
    loop {
        match (path.next(), key.next()) {
            (None, None) => return true,
            (Some(p), Some(k)) if p == "*" || p == k => {}
            _ => return false,
        }
    }
}

/// Serves one websocket until it is closed or the master killed.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let Ok(mut stream) = tokio_tungstenite::accept_async(stream).await else { return };
    let (sender, mut frames) = mpsc::unbounded_channel();
    let number = shared.next_socket();
    let mut silenced = shared.silenced.subscribe();
    loop {
        if number < *silenced.borrow_and_update() {
            // Half-open: nothing is read, nothing is said, nothing is closed.
            let _ = silenced.wait_for(|below| *below == u64::MAX).await;
            break;
        }
        tokio::select! {
            message = stream.next() => {
                let Some(Ok(message)) = message else { break };
                let Message::Text(text) = message else { continue };
                let Ok(command) = serde_json::from_str::<Value>(&text) else { break };
                let answer = command_answer(&shared, number, &sender, &command);
                if stream.send(Message::text(answer.to_string())).await.is_err() {
                    break;
                }
            }
            Some(frame) = frames.recv() => {
                if stream.send(Message::text(frame)).await.is_err() {
                    break;
                }
            }
            _ = silenced.changed() => {}
        }
    }
    shared.lock().subscribers.retain(|s| s.number != number);
}

fn command_answer(
    shared: &Shared,
    number: u64,
    sender: &mpsc::UnboundedSender<String>,
    command: &Value,
) -> Value {
    let path = command["path"].as_str().unwrap_or_default().to_owned();
    let id = &command["_id"];
    match command["cmd"].as_str() {
        Some("ping") => return json!({"msg": "pong", "code": 200, "_id": id}),
        Some("startConsuming") => {
            let mut state = shared.lock();
            match state.subscribers.iter_mut().find(|s| s.number == number) {
                Some(subscriber) => subscriber.paths.push(path),
                None => state.subscribers.push(Subscriber {
                    number,
                    paths: vec![path],
                    frames: sender.clone(),
                    held: Vec::new(),
                }),
            }
        }
        Some("stopConsuming") => {
            let mut state = shared.lock();
            if let Some(subscriber) = state.subscribers.iter_mut().find(|s| s.number == number) {
                subscriber.paths.retain(|p| *p != path);
            }
        }
        _ => return json!({"error": "no such command", "code": 404, "_id": id}),
    }
    json!({"msg": "OK", "code": 200, "_id": id})
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_star_covers_exactly_one_segment() {
        assert!(covers("*/*/*", "builds/1/finished"));
        assert!(!covers("*/*/*", "builds/1/properties/update"));
        assert!(covers("builds/*/properties/update", "builds/1/properties/update"));
        assert!(!covers("logs/2/append", "logs/1/append"));
    }
}
