//! Traces: a collector receives, for one event, the journal's span and the delivery's span.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use axum::{Router, body::Bytes, routing::post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use std::{collections::HashMap, collections::HashSet, process::Stdio, time::Duration};
use tokio::{net::TcpListener, process::Command, sync::mpsc, time::timeout};

#[tokio::test]
async fn k07_an_event_has_one_trace_from_the_journal_to_its_delivery() {
    let (send, mut bodies) = mpsc::unbounded_channel::<Bytes>();
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = collector.local_addr().unwrap();
    let app = Router::new().route(
        "/v1/traces",
        post(move |body: Bytes| {
            let _ = send.send(body);
            async {}
        }),
    );
    tokio::spawn(async { axum::serve(collector, app).await });
    let _demo = Command::new(env!("CARGO_BIN_EXE_buildbot-status"))
        .args(["demo", "--port", "0", "--metrics", "127.0.0.1:0", "--speed", "30"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "200")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let mut traces: HashMap<Vec<u8>, HashSet<String>> = HashMap::new();
    let whole = async {
        while let Some(body) = bodies.recv().await {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for resource in request.resource_spans {
                let attributes = format!("{:?}", resource.resource);
                assert!(attributes.contains("buildbot-status"), "{attributes}");
                for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    traces.entry(span.trace_id).or_default().insert(span.name);
                }
            }
            let both =
                |names: &HashSet<String>| ["journal", "deliver"].iter().all(|n| names.contains(*n));
            if traces.values().any(both) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), whole).await.expect("a trace with both spans");
}
