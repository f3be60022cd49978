//! The receiver of pushes: one request a connection, as HttpPush makes them.

use super::{Content, Inner, Manner};
use serde_json::Value;
use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use url::form_urlencoded;

pub(super) async fn listen(inner: Arc<Inner>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(Arc::clone(&inner), stream));
    }
}

async fn serve(inner: Arc<Inner>, stream: TcpStream) {
    if inner.manner() == Manner::Drops {
        return;
    }
    let mut stream = BufReader::new(stream);
    let Some(body) = request(&mut stream).await else { return };
    match inner.manner() {
        Manner::Good | Manner::Drops => {
            let place = inner.keep(packets(&body));
            // The whole answer in one segment: the sender has all of it or nothing.
            if answer(&mut stream, "200 OK", "", "taken").await {
                inner.answered(place);
            }
        }
        Manner::Fails => drop(answer(&mut stream, "500 Internal Server Error", "", "no").await),
        Manner::Throttles => {
            answer(&mut stream, "429 Too Many Requests", "Retry-After: 1\r\n", "slower").await;
        }
        Manner::Denies => drop(answer(&mut stream, "401 Unauthorized", "", "who?").await),
        Manner::Hangs => inner.hang().await,
        Manner::Breaks => {
            inner.keep(packets(&body));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await;
        }
    }
}

async fn answer(
    stream: &mut BufReader<TcpStream>,
    status: &str,
    headers: &str,
    body: &str,
) -> bool {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.is_ok() && stream.flush().await.is_ok()
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// 0.8's form: one field `packets` with a JSON list.
fn packets(body: &[u8]) -> Content {
    let packets = form_urlencoded::parse(body).find(|(name, _)| name == "packets");
    let packets: Vec<Value> = serde_json::from_str(&packets.unwrap().1).unwrap();
    Content::Packets(packets)
}
