//! A collector of traces: takes spans over OTLP/HTTP, as an OpenTelemetry collector does.

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// A span's place: the ids of its trace and its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The trace's id.
    pub trace: Vec<u8>,
    /// The span's id.
    pub span: Vec<u8>,
}

/// A span that was exported.
#[derive(Clone, Debug)]
pub struct Exported {
    /// `service.name` of the process.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The span that it is below; `None` for a root.
    pub parent: Option<Place>,
    /// Others that it is about as well.
    pub links: Vec<Place>,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// Whether it says of itself that it failed.
    pub failed: bool,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

impl Exported {
    /// An attribute; nothing where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Whether it is below that span, or links to it.
    pub fn is_of(&self, place: &Place) -> bool {
        self.parent.as_ref() == Some(place) || self.links.contains(place)
    }

    fn of(service: &str, span: Span) -> Self {
        let trace = span.trace_id;
        let parent = (!span.parent_span_id.is_empty())
            .then(|| Place { trace: trace.clone(), span: span.parent_span_id });
        let links = span.links.into_iter();
        Self {
            service: service.to_owned(),
            name: span.name,
            place: Place { trace, span: span.span_id },
            parent,
            links: links.map(|link| Place { trace: link.trace_id, span: link.span_id }).collect(),
            began: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
            attributes: attributes(span.attributes),
        }
    }
}

/// The collector, and what came.
#[derive(Clone, Debug)]
pub struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Exported>>>,
}

impl Collector {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        let take = async move |body: Bytes| {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            kept.lock().unwrap().extend(exported(request));
            let answer = ExportTraceServiceResponse::default().encode_to_vec();
            ([(CONTENT_TYPE, "application/x-protobuf")], answer)
        };
        let app = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, spans }
    }

    /// What a process needs to export to it, and soon.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ]
    }

    /// All spans that came so far.
    pub fn spans(&self) -> Vec<Exported> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans of this name that came so far.
    pub fn named(&self, name: &str) -> Vec<Exported> {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        spans
    }
}

fn exported(request: ExportTraceServiceRequest) -> Vec<Exported> {
    let of_resource = request.resource_spans.into_iter().flat_map(|of| {
        let about = of.resource.map(|resource| attributes(resource.attributes)).unwrap_or_default();
        let service = about.get("service.name").cloned().unwrap_or_default();
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Exported::of(&service, span))
    });
    of_resource.collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: KeyValue| Some((pair.key, text(pair.value?.value?)));
    pairs.into_iter().filter_map(pair).collect()
}
