//! Server-sent events: how they are written, and when.

use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, stream::BoxStream};
use std::{
    convert::Infallible,
    fmt::{Display, Write as _},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// How often something is written when there is nothing to say, so that both ends and all in
/// between know that the other is there.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A line that readers ignore.
const COMMENT: &[u8] = b": still here\n\n";
/// How much is written at once, if there is so much.
pub(super) const AT_ONCE: usize = 32 << 10;

/// One event, at the end of `text`. `data` is JSON, so it has no line feeds.
pub(super) fn write(text: &mut BytesMut, name: &str, id: Option<&dyn Display>, data: &[u8]) {
    text.reserve(name.len() + data.len() + 64);
    // Writing to memory can't fail.
    let _ = writeln!(text, "event: {name}");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    text.put_slice(b"data: ");
    text.put_slice(data);
    text.put_slice(b"\n\n");
}

/// One event alone.
pub(super) fn event(name: &str, id: Option<&dyn Display>, data: &[u8]) -> BytesMut {
    let mut text = BytesMut::new();
    write(&mut text, name, id, data);
    text
}

/// A sign of life.
pub(super) fn comment() -> BytesMut {
    COMMENT.into()
}

/// A stream as the answer. It is asked for its next event only when there is room to write it.
/// Events that are ready at the same time go out together, and `after` says what follows them.
pub(super) fn answer(
    events: BoxStream<'static, BytesMut>,
    after: impl Fn() -> Option<BytesMut> + Send + Unpin + 'static,
) -> Response {
    let together = Together { events, after, ended: false };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // For nginx and its like: what is written is passed on at once.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(together)).into_response()
}

struct Together<F> {
    events: BoxStream<'static, BytesMut>,
    after: F,
    ended: bool,
}

impl<F: Fn() -> Option<BytesMut> + Unpin> Stream for Together<F> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut text = BytesMut::new();
        while !this.ended && text.len() < AT_ONCE {
            match this.events.as_mut().poll_next(context) {
                Poll::Ready(Some(event)) if text.is_empty() => text = event,
                Poll::Ready(Some(event)) => text.extend_from_slice(&event),
                Poll::Ready(None) => this.ended = true,
                Poll::Pending if text.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if text.is_empty() {
            return Poll::Ready(None);
        }
        if !this.ended
            && let Some(after) = (this.after)()
        {
            text.extend_from_slice(&after);
        }
        Poll::Ready(Some(Ok(text.freeze())))
    }
}
