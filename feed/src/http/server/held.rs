//! What is kept until an answer is written.
//!
//! The connection takes a body's bytes long before they are on their way, and lets go of the body
//! then. So what is kept goes with the bytes.

use super::places::Permit;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// `bytes`, which keep `kept` until the last part of them is let go.
pub(super) fn with<B, K>(bytes: B, kept: K) -> Bytes
where
    B: AsRef<[u8]> + Send + 'static,
    K: Send + 'static,
{
    Bytes::from_owner(With { bytes, _kept: kept })
}

struct With<B, K> {
    bytes: B,
    _kept: K,
}

impl<B: AsRef<[u8]>, K> AsRef<[u8]> for With<B, K> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// The body of an answer whose request runs until it is written.
pub(super) struct Answer {
    body: Body,
    permit: Arc<Permit>,
}

impl Answer {
    pub(super) fn new(body: Body, permit: Arc<Permit>) -> Self {
        Self { body, permit }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, permit } = self.get_mut();
        let frame = ready!(Pin::new(body).poll_frame(context));
        let keep = |bytes: Bytes| with(bytes, Arc::clone(permit));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(keep))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
