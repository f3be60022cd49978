//! Logs for people or programs, and traces for an OpenTelemetry collector.

mod plain;

use crate::cli::LogFormat;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::env;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, dynamic_filter_fn},
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// What traces are made of. The exporter's own HTTP client must not trace itself, and kube's
/// controllers only say again what the operator says.
const TRACED: &str =
    "info,kube_client=debug,kube_runtime=off,hyper=off,reqwest=off,h2=off,opentelemetry=off";

/// What keeps telemetry going; [`Telemetry::end`] sends what is still buffered.
#[must_use = "traces end when this is dropped"]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
}

/// What can be wrong with the telemetry's settings.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `--log` does not parse.
    #[error(
        "--log {given:?}: {source}; a level such as \"info\" or directives such as \"info,feed=debug\" are meant"
    )]
    Filter {
        /// What was given.
        given: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter can't be made from the `OTEL_*` variables.
    #[error("the OTLP exporter can't be set up from the OTEL_* variables: {0}")]
    Exporter(String),
    /// Something has already set a subscriber.
    #[error("logging is already set up: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up logs, and traces where `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `_TRACES_` form) is set.
/// `service` is what the process is called there, unless a variable says otherwise.
///
/// # Errors
/// [`TelemetryError`] says which setting is wrong.
pub fn start(service: &str, format: LogFormat, filter: &str) -> Result<Telemetry, TelemetryError> {
    let parse = || {
        EnvFilter::try_new(filter)
            .map_err(|source| TelemetryError::Filter { given: filter.to_owned(), source })
    };
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = match format {
        LogFormat::Json => logs.json().flatten_event(true).with_filter(parse()?).boxed(),
        LogFormat::Text => {
            logs.fmt_fields(plain::Plain).event_format(plain::Plain).with_filter(parse()?).boxed()
        }
    };
    let tracer = if traces_wanted() { Some(exporter(service)?) } else { None };
    let traces = tracer.as_ref().map(|provider| {
        let tracer = provider.tracer("buildbot-status");
        feed::trace::export_with(tracer.clone());
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(EnvFilter::new(TRACED).and(dynamic_filter_fn(in_a_reconcile)))
    });
    tracing_subscriber::registry().with(logs).with(traces).try_init()?;
    Ok(Telemetry { tracer })
}

/// Whether the standard variables ask for traces.
fn traces_wanted() -> bool {
    let set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
    let is =
        |name: &str, wanted: &str| env::var(name).is_ok_and(|v| v.eq_ignore_ascii_case(wanted));
    (set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Of kube's client only the spans of requests that are part of something: a watch and a Lease would
/// be traces of their own, without end and without news.
fn in_a_reconcile<S>(metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let of_client = metadata.target().starts_with("kube_client") && *metadata.level() > Level::INFO;
    !of_client || (metadata.is_span() && context.lookup_current().is_some())
}

fn exporter(service: &str) -> Result<SdkTracerProvider, TelemetryError> {
    // The exporter's client is a blocking one, which must not be made on a runtime's thread.
    let exporter =
        std::thread::spawn(|| opentelemetry_otlp::SpanExporter::builder().with_http().build())
            .join()
            .map_err(|_| TelemetryError::Exporter("its thread ended early".to_owned()))?
            .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service.to_owned());
    }
    Ok(feed::trace::configure(SdkTracerProvider::builder())
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

impl Telemetry {
    /// Sends the traces that are still buffered. Blocks for at most some seconds.
    pub fn end(self) {
        if let Some(tracer) = self.tracer
            && let Err(error) = tracer.shutdown()
        {
            tracing::warn!("the last traces could not be sent: {error}");
        }
    }
}
