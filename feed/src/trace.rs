//! One trace for each event, from its frame to every delivery (row K07).
//!
//! The trace's id and that of its root follow from the event's identity. So a target in another
//! process joins the trace without anything being carried along, after a kill as well. Without an
//! exporter all this costs next to nothing.
//!
//! ```text
//! event     feed     from the frame that completed the event until it is journaled: the root
//! ├─ journal  feed     its transaction
//! └─ deliver  target   one for each target, and for each time that it is handed out
//! ```

use model::{Identity, Record};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, Tracer as _,
    },
};
use opentelemetry_sdk::trace::{
    Config, IdGenerator, RandomIdGenerator, SamplingResult, SdkTracer, ShouldSample,
    TracerProviderBuilder,
};
use sha2::{Digest as _, Sha256};
use std::{cell::Cell, sync::OnceLock, time::SystemTime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes the roots of traces; none without an exporter.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    /// The ids of the span that this thread is about to begin, if they are given.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Has a process' spans fit to those of the others that tell of the same events.
pub fn configure(provider: TracerProviderBuilder) -> TracerProviderBuilder {
    // `Config` knows the variables `OTEL_TRACES_SAMPLER…`.
    let sampler = AsRoot(Config::default().sampler);
    provider.with_id_generator(Ids::default()).with_sampler(sampler)
}

/// Has journaled events told of by spans. The first call counts.
pub fn export_with(tracer: SdkTracer) {
    let _ = TRACER.set(tracer);
}

/// Makes `span` a part of the event's trace.
pub fn join(span: &Span, identity: &Identity) {
    if !span.is_disabled() {
        // Fails where no exporter is set up: then there is no trace to join.
        let _ = span.set_parent(Context::new().with_remote_span_context(root(identity)));
    }
}

/// Says that `span` is about the event too: for requests that carry several.
pub fn link(span: &Span, identity: &Identity) {
    if !span.is_disabled() {
        span.add_link(root(identity));
    }
}

/// The root of an event's trace: the trace's id is 16 bytes of a hash of the identity, the root's
/// the 8 bytes after them.
fn root(identity: &Identity) -> SpanContext {
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

/// Tells of records that have just been journaled: when the first of what made them was seen of
/// the master, and when their transaction began.
pub(crate) fn journaled<'a>(
    records: impl Iterator<Item = &'a Record>,
    seen: Option<SystemTime>,
    began: SystemTime,
) {
    let Some(tracer) = TRACER.get() else { return };
    for record in records {
        let Record { position, identity, event, .. } = record;
        let attributes = [
            KeyValue::new("identity", identity.to_string()),
            KeyValue::new("position", position.to_string()),
            KeyValue::new("event", event.name()),
        ];
        let span = tracer
            .span_builder("event")
            .with_start_time(seen.unwrap_or(began))
            .with_attributes(attributes);
        let span = with_ids(&root(identity), || span.start_with_context(tracer, &Context::new()));
        let event = Context::new().with_span(span);
        let commit = tracer.span_builder("journal").with_start_time(began);
        commit.start_with_context(tracer, &event).end();
        event.span().end();
    }
}

/// Begins a span with these ids.
fn with_ids<T>(ids: &SpanContext, begin: impl FnOnce() -> T) -> T {
    NEXT.set(Some((ids.trace_id(), ids.span_id())));
    let span = begin();
    NEXT.set(None);
    span
}

/// Ids that are given where there are some, and drawn otherwise.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// Decides about a span below an event's root as about the root itself. The root's own process
/// tells nobody what it decided; with the same settings the trace's id decides alike everywhere.
#[derive(Clone, Debug)]
struct AsRoot(Box<dyn ShouldSample>);

impl ShouldSample for AsRoot {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        // Only roots of events are remote.
        let parent = parent.filter(|context| !context.span().span_context().is_remote());
        self.0.should_sample(parent, trace, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use super::{AsRoot, Ids, root, with_ids};
    use model::{Identity, Phase};
    use opentelemetry::{
        Context,
        trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _},
    };
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use std::collections::BTreeSet;

    fn of(id: u64, phase: Phase) -> Identity {
        Identity { master: "m".into(), database: 0, kind: "build".into(), id, phase, nth: 0 }
    }

    #[test]
    fn k07_the_same_event_has_the_same_trace_and_another_has_another() {
        let finished = root(&of(1, Phase::Finished));
        assert!(finished.is_valid());
        assert_eq!(finished, root(&of(1, Phase::Finished)));
        assert_ne!(finished.trace_id(), root(&of(1, Phase::Started)).trace_id());
        assert_ne!(finished.trace_id(), root(&of(2, Phase::Finished)).trace_id());
    }

    #[test]
    fn k07_where_traces_are_sampled_an_events_trace_is_there_whole_or_not_at_all() {
        let ratio = Sampler::TraceIdRatioBased(0.5);
        let process = || {
            let sampler = AsRoot(Box::new(Sampler::ParentBased(Box::new(ratio.clone()))));
            SdkTracerProvider::builder().with_id_generator(Ids::default()).with_sampler(sampler)
        };
        let (feed, target) = (process().build(), process().build());
        let (feed, target) = (feed.tracer("feed"), target.tracer("target"));
        let mut seen = BTreeSet::new();
        for id in 0..64 {
            let wanted = root(&of(id, Phase::Finished));
            let begin = || feed.start_with_context("event", &Context::new());
            let event = with_ids(&wanted, begin).span_context().clone();
            assert_eq!((event.trace_id(), event.span_id()), (wanted.trace_id(), wanted.span_id()));
            let below = Context::new().with_remote_span_context(wanted);
            let deliver = target.start_with_context("deliver", &below);
            assert_eq!(deliver.span_context().is_sampled(), event.is_sampled());
            assert_eq!(deliver.span_context().trace_id(), event.trace_id());
            seen.insert(event.is_sampled());
        }
        assert_eq!(seen, BTreeSet::from([false, true]), "half of 64 traces are sampled");
    }

    #[test]
    fn k07_only_an_events_root_has_ids_that_are_given() {
        let provider = SdkTracerProvider::builder().with_id_generator(Ids::default()).build();
        let tracer = provider.tracer("feed");
        let wanted = root(&of(1, Phase::Finished));
        with_ids(&wanted, || tracer.start_with_context("event", &Context::new()));
        let next = tracer.start_with_context("other", &Context::new());
        assert_ne!(next.span_context().trace_id(), wanted.trace_id());
        assert_ne!(next.span_context().span_id(), wanted.span_id());
    }
}
