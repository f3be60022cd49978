//! Logs over HTTP: as a page (P13), as plain text (P14), and line by line while they grow.

use super::{find, find_build, log, of_path, part, parts};
use crate::{
    PageError,
    logs::{BadWindow, CHUNK, LogText, PAGE, Progress, Window, follow, html, text as plain_text},
    server::{App, Shelf},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::{IntoResponse, Response, Sse, sse::KeepAlive},
};
use feed::LogError;
use master::{ClientError, LogChunk};
use model::{Build, BuildId, Log, LogId, LogKind, Outcome, Step};
use std::sync::Arc;

/// Chunks that are read before the page begins, in search of the first error of a bad step.
const AHEAD: usize = 3;
/// What an HTML log may do: nothing but be looked at. It holds whatever a build wrote.
const SANDBOX: &str = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:; form-action 'none'; base-uri 'none'";

/// A log that an address names.
struct Named {
    build: Build,
    step: usize,
    log: usize,
    source: Arc<dyn LogText>,
}

impl Named {
    fn step(&self) -> &Step {
        &self.build.steps[self.step]
    }

    fn log(&self) -> &Log {
        &self.step().logs[self.log]
    }

    fn what(&self) -> (LogId, LogKind) {
        (self.log().id, self.log().kind)
    }
}

/// Finds the log, and where its text comes from.
async fn find_log(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Named, PageError> {
    let parts = parts(uri);
    let build = find_build(app, uri, headers, |_| Ok(of_path(&parts))).await?;
    let found = find::step(&build, part(&parts, 5))?;
    let log = find::log(&build, found, part(&parts, 7))?;
    if log.kind == LogKind::Deleted {
        let text = "The master has deleted this log to save room.";
        return Err(PageError::new(410, "Log deleted", text));
    }
    let place = |id| build.steps.iter().position(|s| s.id == id);
    let step = place(found.id).unwrap_or_default();
    let log = found.logs.iter().position(|l| l.id == log.id).unwrap_or_default();
    let source = app.logs.clone().ok_or_else(|| {
        PageError::new(503, "Not to be read now", "This preview has no text of logs.")
    })?;
    Ok(Named { build, step, log, source })
}

/// Why lines are not to be had, as a page.
fn unavailable(error: &LogError) -> PageError {
    match error {
        LogError::Master(ClientError::NotFound(_)) => {
            PageError::not_found("Log gone", "The master has this log no more.")
        }
        error => {
            tracing::warn!(%error, "the text of a log is not to be had");
            let text = format!("The text of this log cannot be read now: {error}.");
            PageError::new(503, "Not to be read now", text)
        }
    }
}

/// `…/logs/LOG`: lines on a page; an HTML log as a page of its own, in a sandbox.
pub async fn page(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    match try_page(&app, &uri, &headers).await {
        Ok(response) => response,
        Err(error) => app.page(&uri, &headers, |_| Err(error)),
    }
}

async fn try_page(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Response, PageError> {
    let named = find_log(app, uri, headers).await?;
    if named.log().kind == LogKind::Html {
        return raw(named, "text/html; charset=utf-8").await;
    }
    let (step, log) = (named.step(), named.log());
    let first = app.ask(uri, headers, |ask| ask.query.one("first").map(str::to_owned));
    let bad = matches!(step.outcome, Some(Outcome::Failure | Outcome::Exception));
    let (window, (begun, first_error)) = if log.complete {
        let window =
            Window::new(first.as_deref(), PAGE, log.lines).map_err(|error| bad_window(&error))?;
        (window, begin(&named, window, Some(if bad { AHEAD } else { 1 })).await?)
    } else {
        written(&named, first.as_deref()).await?
    };
    let aside = app.ask(uri, headers, |ask| {
        let builder = find::builder(ask, named.build.builder.name.as_str())?;
        let first_error = first_error.filter(|_| bad);
        log::page(ask, builder, &named.build, (step, log), log::Shown { window, first_error })
    })?;
    let body = html(named.source.clone(), named.what(), window, &begun, aside);
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(body)).into_response())
}

fn bad_window(error: &BadWindow) -> PageError {
    PageError::new(400, "Bad argument", error.to_string())
}

/// Lines that are read before the page begins, and the first of them that looks like an error.
type Begun = (Vec<LogChunk>, Option<u64>);

/// The window of a log that is still written, and all its lines. The view hears late how many
/// there are, so they are read until no more come; the page says at its beginning where it ends.
async fn written(named: &Named, first: Option<&str>) -> Result<(Window, Begun), PageError> {
    let mut window = Window::open(first, PAGE).map_err(|error| bad_window(&error))?;
    let mut begun = begin(named, window, None).await?;
    if begun.0.is_empty() && window.first > 1 {
        // Beyond the end: the last page that is known of.
        let known =
            Window::new(first, PAGE, named.log().lines).map_err(|error| bad_window(&error))?;
        window = Window { last: known.first.saturating_add(PAGE - 1), ..known };
        begun = begin(named, window, None).await?;
    }
    let end = begun.0.last().map_or(window.first - 1, |c| c.first + c.count());
    let more = end >= window.last && {
        let (log, _) = named.what();
        let next = named.source.lines(log, end, 1).await.map_err(|error| unavailable(&error))?;
        !next.text.is_empty()
    };
    let total = if more { named.log().lines.max(end + 1) } else { end };
    Ok((Window { last: end, total, ..window }, begun))
}

/// The first chunks of a window, as many as it takes to find an error but no more than `most`;
/// all of them without.
async fn begin(named: &Named, window: Window, most: Option<usize>) -> Result<Begun, PageError> {
    let (log, kind) = named.what();
    let mut begun: Vec<LogChunk> = Vec::new();
    let mut lines = crate::logs::Lines::new(kind);
    let mut next = window.first.saturating_sub(1);
    while next < window.last
        && most.is_none_or(|most| begun.len() < most && lines.first_error().is_none())
    {
        let wanted = (window.last - next).min(CHUNK);
        let chunk =
            named.source.lines(log, next, wanted).await.map_err(|error| unavailable(&error))?;
        if chunk.text.is_empty() {
            break;
        }
        next = chunk.first + chunk.count();
        lines.chunk(&chunk, &mut String::new());
        begun.push(chunk);
    }
    Ok((begun, lines.first_error()))
}

/// `…/logs/LOG/text`: what the program wrote.
pub async fn text(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let answer = match find_log(&app, &uri, &headers).await {
        Ok(named) => raw(named, "text/plain; charset=utf-8").await,
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| app.page(&uri, &headers, |_| Err(error)))
}

/// The text without anything around it.
async fn raw(named: Named, kind: &'static str) -> Result<Response, PageError> {
    let (log, kind_of_log) = named.what();
    let begun = named.source.lines(log, 0, CHUNK).await.map_err(|error| unavailable(&error))?;
    let keep = if named.log().complete { "private, max-age=604800" } else { "no-cache" };
    let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    // A tag of its own, not of the pages: a 304 would put their looser policy in the place of
    // the sandbox.
    let tag = format!("W/\"log-{log}-{}\"", named.log().lines);
    let headers = [
        (header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"log\""))),
        fixed(header::CONTENT_TYPE, kind),
        fixed(header::CONTENT_SECURITY_POLICY, SANDBOX),
        fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        fixed(header::CACHE_CONTROL, keep),
    ];
    let body = plain_text(named.source, (log, kind_of_log), begun);
    Ok((headers, Body::from_stream(body)).into_response())
}

/// `…/logs/LOG/live?first=N`: lines from number N on as they are written, by server-sent
/// events: `lines` with HTML, `end` when no more come. A browser that connects again says in
/// `Last-Event-ID` which line comes next.
pub async fn live(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    match find_log(&app, &uri, &headers)
        .await
        .and_then(|named| try_live(&app, &uri, &headers, named))
    {
        Ok(response) => response,
        Err(error) => app.page(&uri, &headers, |_| Err(error)),
    }
}

fn try_live(
    app: &Arc<App>,
    uri: &Uri,
    headers: &HeaderMap,
    named: Named,
) -> Result<Response, PageError> {
    let first = app.ask(uri, headers, |ask| ask.query.number("first", 1..=i64::MAX))?.unwrap_or(1);
    let again = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let first = again.filter(|id| *id >= 1).unwrap_or(first.unsigned_abs());
    let next = first - 1;
    let (log, kind) = named.what();
    let (build, changed, app) = (named.build.id, app.view.subscribe(), app.clone());
    let progress = move || progress(&app, build, log);
    let events = follow(named.source, (log, kind), next, progress, changed);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// How far a log has come, as the view knows it.
fn progress(app: &App, build: BuildId, log: LogId) -> Option<Progress> {
    let view = app.view.read();
    let row = view.build(build)?;
    let (step, log) =
        row.steps.iter().find_map(|step| Some((step, step.logs.iter().find(|l| l.id == log)?)))?;
    let complete = log.complete || step.complete_at.is_some() || row.outcome.is_some();
    Some(Progress { lines: log.lines, complete })
}
