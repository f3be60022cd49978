//! Logs as streams of bytes: one chunk is in memory at a time.

use super::{CHUNK, Lines, LogText, Window, plain};
use crate::text::escape;
use bytes::Bytes;
use feed::LogError;
use futures_util::{Stream, StreamExt, stream};
use master::LogChunk;
use model::{LogId, LogKind};
use std::{convert::Infallible, sync::Arc};

/// What stands before and after the lines of a page.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    /// Everything up to the first line.
    pub before: String,
    /// Everything after the last line.
    pub after: String,
}

/// A page: what is before, the lines of the window, what is after. `begun` holds lines that
/// are read already, from the window's first on. If a chunk can't be had, the page says so
/// and ends.
pub fn html(
    source: Arc<dyn LogText>,
    (log, kind): (LogId, LogKind),
    window: Window,
    begun: &[LogChunk],
    page: Aside,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let mut renderer = Lines::new(kind);
    let mut first = page.before;
    for chunk in begun {
        renderer.chunk(chunk, &mut first);
    }
    let next = begun.last().map_or(window.first.saturating_sub(1), |c| c.first + c.count());
    let rest = stream::unfold(
        Some((source, renderer, next, page.after)),
        move |state| async move {
            let (source, mut renderer, next, after) = state?;
            let mut out = String::new();
            let wanted = window.last.saturating_sub(next).min(CHUNK);
            let answer = match wanted {
                0 => Ok(LogChunk::default()),
                wanted => source.lines(log, next, wanted).await,
            };
            match answer {
                Ok(chunk) if chunk.text.is_empty() => {}
                Ok(chunk) => {
                    renderer.chunk(&chunk, &mut out);
                    let next = chunk.first + chunk.count();
                    return Some((Ok(Bytes::from(out)), Some((source, renderer, next, after))));
                }
                Err(error) => {
                    tracing::warn!(%log, %error, "a log's page ends early");
                    renderer.end(&mut out);
                    out.push_str(&format!(
                    "<p class=le><a></a><span>The lines from {} on cannot be shown now: {}</span></p>\n",
                    next + 1,
                    escape(&error.to_string())
                ));
                    return Some((Ok(Bytes::from(out + &after)), None));
                }
            }
            renderer.end(&mut out);
            Some((Ok(Bytes::from(out + &after)), None))
        },
    );
    ended_once(stream::iter([Ok(Bytes::from(first))]).chain(rest))
}

/// Compression asks a body once more after its end, which an `unfold` does not survive.
pub(super) fn ended_once<S: Stream>(stream: S) -> impl Stream<Item = S::Item> + use<S> {
    stream.fuse()
}

/// The plain text, chunk by chunk from `begun` on. If a chunk can't be had the stream breaks
/// off with an error, so that nobody takes a part for the whole.
pub fn text(
    source: Arc<dyn LogText>,
    (log, kind): (LogId, LogKind),
    begun: LogChunk,
) -> impl Stream<Item = Result<Bytes, LogError>> + Send + use<> {
    let chunks = stream::unfold(Some((source, Some(begun), 0)), move |state| async move {
        let (source, begun, next) = state?;
        let chunk = match begun {
            Some(chunk) => Ok(chunk),
            None => source.lines(log, next, CHUNK).await,
        };
        match chunk {
            Ok(chunk) if chunk.text.is_empty() => None,
            Ok(chunk) => {
                let next = chunk.first + chunk.count();
                Some((Ok(Bytes::from(plain(kind, chunk))), Some((source, None, next))))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    ended_once(chunks)
}
