//! The waterfall over HTTP: its page in pieces, its help, its stream of updates.

use super::{
    Waterfall, help, live, made_of,
    older::{Older, read, wanted},
};
use crate::{
    Ask, PageError, Query,
    caching::{self, Slot},
    pages::unreadable,
    server::{App, Shelf},
};
use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Uri},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use model::Timestamp;
use std::{convert::Infallible, io::Write, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};

/// Pieces of a page that wait for a slow reader, at most.
const WAITING: usize = 8;
/// The least time between updates, so that a busy master does not keep browsers busy.
const APART: Duration = Duration::from_millis(1000);
/// Updates come this often while builds run, for their progress.
const PROGRESS: Duration = Duration::from_secs(15);

/// Routes of the waterfall.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/waterfall", get(waterfall))
        .route("/waterfall/help", get(help_page))
        .route("/live/waterfall", get(updates))
}

async fn help_page(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, help)
}

async fn waterfall(
    State(app): Shelf,
    slot: Option<Extension<Slot>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let older = match older(&app, &uri, &headers).await {
        Ok(older) => older,
        Err(error) => return app.page(&uri, &headers, |_| Err(error)),
    };
    let mut made = None;
    let failed = app.page(&uri, &headers, |ask| {
        made = Some(made_of(ask, older.as_ref())?);
        Ok(crate::Html(String::new()))
    });
    let Some(made) = made else { return failed };
    let slot = slot.map(|Extension(slot)| slot);
    let gzip = slot.as_ref().is_some_and(|slot| slot.gzip);
    let (pieces, body) = mpsc::channel(WAITING);
    // It ends by itself: when the page is written or the reader is gone.
    tokio::task::spawn_blocking(move || write(&made, slot.as_ref(), &pieces));
    let body = tokio_stream::StreamExt::map(ReceiverStream::new(body), Ok::<_, Infallible>);
    caching::html(Body::from_stream(body), gzip)
}

/// What the journal has for a page below memory; `None` for any other.
async fn older(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Option<Older>, PageError> {
    let Some(feed) = &app.feed else { return Ok(None) };
    match app.ask(uri, headers, wanted)? {
        Some(wanted) => Ok(Some(read(feed, wanted).await.map_err(|e| unreadable(&e))?)),
        None => Ok(None),
    }
}

/// Writes the page in pieces, packed if the reader takes it so, and keeps it ready.
fn write(made: &Waterfall, slot: Option<&Slot>, pieces: &mpsc::Sender<Bytes>) {
    let gzip = slot.is_some_and(|slot| slot.gzip);
    let mut encoder = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut whole = Vec::new();
    let mut gone = false;
    let mut first = true;
    let send = |piece: Vec<u8>, whole: &mut Vec<u8>| {
        whole.extend_from_slice(&piece);
        piece.is_empty() || pieces.blocking_send(piece.into()).is_ok()
    };
    made.write(|html| {
        let piece = match &mut encoder {
            None => html.as_bytes().to_vec(),
            Some(encoder) => {
                // Writing to memory does not fail. The first piece goes out at once.
                let _ = encoder.write_all(html.as_bytes());
                if std::mem::take(&mut first) {
                    let _ = encoder.flush();
                }
                std::mem::take(encoder.get_mut())
            }
        };
        gone = !send(piece, &mut whole);
        !gone
    });
    if let Some(rest) = encoder.and_then(|encoder| encoder.finish().ok()) {
        gone |= !send(rest, &mut whole);
    }
    if let Some(slot) = slot.filter(|_| !gone) {
        slot.keep(whole.into());
    }
}

/// A message. A carriage return would end a line of it, and means nothing in HTML. Browsers drop
/// a message without data.
fn message(name: &str, html: &str) -> Event {
    let html = if html.is_empty() { " " } else { html };
    Event::default().event(name).data(html.replace('\r', ""))
}

/// What a reader of updates has.
struct Reader {
    app: Arc<App>,
    query: Query,
    edge: Timestamp,
    seen: Timestamp,
    head: String,
    body: String,
    /// The columns that the page has; `None` if it does not say.
    columns: Option<String>,
}

impl Reader {
    /// Messages that bring the page up to date; `None` when the address is no good.
    fn messages(&mut self) -> Option<Vec<Event>> {
        let view = self.app.view.read();
        let ask = Ask {
            view: &view,
            site: &self.app.site,
            query: &self.query,
            // Updates become part of the page, which is one level further up.
            root: "./",
            path: "waterfall",
            theme: None,
            now: Timestamp::now(),
        };
        let update = live::update(&ask, self.edge, self.seen).ok()?;
        self.seen = ask.now;
        drop(view);
        let columns = self.columns.get_or_insert_with(|| update.columns.clone());
        if update.stale || *columns != update.columns {
            return Some(vec![message("stale", "")]);
        }
        let mut messages = Vec::new();
        if update.head != self.head {
            messages.push(message("head", &update.head));
        }
        if !update.closed.is_empty() {
            messages.push(message("close", &update.closed));
        }
        if update.body != self.body || !update.closed.is_empty() {
            let id = update.edge.0.to_string();
            messages.push(message("body", &update.body).id(id));
        }
        (self.edge, self.head, self.body) = (update.edge, update.head, update.body);
        Some(messages)
    }
}

/// The stream of updates; `static/enhance.js` says what it does with them.
async fn updates(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let query = Query::parse(uri.query().unwrap_or_default());
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    let since = match query.number("since", 0..=i64::MAX) {
        Ok(since) => last.or(since),
        Err(error) => return app.page(&uri, &headers, |_| Err(error)),
    };
    let reader = Reader {
        edge: Timestamp(since.unwrap_or(0)),
        seen: Timestamp::now(),
        head: String::new(),
        body: String::new(),
        columns: query.one("columns").map(str::to_owned),
        query,
        app,
    };
    let alive = KeepAlive::new().interval(Duration::from_secs(20));
    Sse::new(stream(reader)).keep_alive(alive).into_response()
}

fn stream(mut reader: Reader) -> impl Stream<Item = Result<Event, Infallible>> {
    let (messages, stream) = mpsc::channel(WAITING);
    let mut changed = reader.app.view.subscribe();
    tokio::spawn(async move {
        loop {
            let Some(news) = reader.messages() else { return };
            for message in news {
                if messages.send(Ok(message)).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = messages.closed() => return,
                () = tokio::time::sleep(APART) => {}
            }
            tokio::select! {
                () = messages.closed() => return,
                changed = changed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PROGRESS) => {}
            }
        }
    });
    ReceiverStream::new(stream)
}
