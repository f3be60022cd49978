//! One trace for each event, from the journal to every delivery (row K07).
//!
//! The trace's id follows from the event's identity, so that a target joins it without anything
//! being carried along, after a kill as well. Without an exporter all this costs next to nothing.

use model::{Identity, Record};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use sha2::{Digest as _, Sha256};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes `span` a part of the event's trace.
pub fn join(span: &Span, identity: &Identity) {
    if !span.is_disabled() {
        // Fails where no exporter is set up: then there is no trace to join.
        let _ = span.set_parent(Context::new().with_remote_span_context(context(identity)));
    }
}

/// Says that `span` is about the event too: for requests that carry several.
pub fn link(span: &Span, identity: &Identity) {
    if !span.is_disabled() {
        span.add_link(context(identity));
    }
}

/// The trace of an event: 16 bytes of a hash of its identity, its root the 8 bytes after them.
fn context(identity: &Identity) -> SpanContext {
    let hash: [u8; 32] = Sha256::digest(identity.to_string()).into();
    let (mut trace, mut root) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&hash[..16]);
    root.copy_from_slice(&hash[16..24]);
    SpanContext::new(
        TraceId::from_bytes(trace),
        SpanId::from_bytes(root),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    )
}

/// Tells of records that have just been journaled.
pub(crate) fn journaled<'a>(records: impl Iterator<Item = &'a Record>) {
    for record in records {
        let Record { position, identity, event, .. } = record;
        let span = tracing::info_span!("journal", %position, %identity, event = event.name());
        join(&span, identity);
    }
}

#[cfg(test)]
mod tests {
    use super::context;
    use model::{Identity, Phase};

    #[test]
    fn k07_the_same_event_has_the_same_trace_and_another_has_another() {
        let of = |id, phase| Identity {
            master: "m".into(),
            database: 0,
            kind: "build".into(),
            id,
            phase,
            nth: 0,
        };
        let finished = context(&of(1, Phase::Finished));
        assert!(finished.is_valid());
        assert_eq!(finished, context(&of(1, Phase::Finished)));
        assert_ne!(finished.trace_id(), context(&of(1, Phase::Started)).trace_id());
        assert_ne!(finished.trace_id(), context(&of(2, Phase::Finished)).trace_id());
    }
}
