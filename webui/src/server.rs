//! The pages over HTTP: routes, caching, compression, headers.

use crate::{
    Ask, Html, PageError, Query, Site,
    caching::{self, Cache},
    logs::LogText,
    pages, public_html, statics,
    view::Shared,
    waterfall,
};
use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use feed::AnyFeed;
use model::Timestamp;
use std::sync::Arc;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// What is known of the master.
    pub view: Shared,
    /// Settings.
    pub site: Site,
    /// For builds beyond memory; `None` in tests and previews.
    pub feed: Option<AnyFeed>,
    /// Where the text of logs comes from.
    pub logs: Option<Arc<dyn LogText>>,
}

/// The state of every handler.
pub type Shelf = State<Arc<App>>;

impl App {
    /// An app that reads logs, and builds beyond memory, from a feed.
    pub fn new(view: Shared, site: Site, feed: AnyFeed) -> Self {
        let logs: Arc<dyn LogText> = Arc::new(feed.clone());
        Self { view, site, feed: Some(feed), logs: Some(logs) }
    }

    /// Makes an [`Ask`] of a request and answers with the page: the one place where pages meet
    /// HTTP. `page` runs under the view's read lock, so it must be quick and never wait.
    pub fn page(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        page: impl FnOnce(&Ask<'_>) -> Result<Html, PageError>,
    ) -> Response {
        let (status, html) = self.ask(uri, headers, |ask| match page(ask) {
            Ok(html) => (StatusCode::OK, html),
            Err(error) => (status_of(&error), ask.error(&error)),
        });
        (
            status,
            [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))],
            html.0,
        )
            .into_response()
    }

    /// Makes an [`Ask`] of a request and gives what `answer` makes of it, for those that need
    /// more than one look at the view. It runs under the view's read lock.
    pub fn ask<T>(&self, uri: &Uri, headers: &HeaderMap, answer: impl FnOnce(&Ask<'_>) -> T) -> T {
        let view = self.view.read();
        let query = Query::parse(uri.query().unwrap_or_default());
        let path = uri.path().trim_start_matches('/');
        let root = root_of(uri.path());
        let ask = Ask {
            view: &view,
            site: &self.site,
            query: &query,
            root: &root,
            path,
            theme: theme_of(headers),
            now: Timestamp::now(),
        };
        answer(&ask)
    }
}

fn status_of(error: &PageError) -> StatusCode {
    StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The way up from a path: `/` is `./`, `/builders/x` is `../`.
fn root_of(path: &str) -> String {
    match path.trim_start_matches('/').matches('/').count() {
        0 => "./".to_owned(),
        depth => "../".repeat(depth),
    }
}

/// The theme of the cookie that `enhance.js` sets.
pub(crate) fn theme_of(headers: &HeaderMap) -> Option<&'static str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|cookie| match cookie.trim() {
        "theme=dark" => Some("dark"),
        "theme=light" => Some("light"),
        _ => None,
    })
}

/// What a page may load and do: only what comes from here, and no script or style within it.
pub(crate) const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'self'";

/// Answers 400 to an address with more arguments than are read: none is dropped in silence.
async fn bounded(State(app): Shelf, request: Request, next: Next) -> Response {
    match Query::check(request.uri().query().unwrap_or_default()) {
        Ok(()) => next.run(request).await,
        Err(error) => app.page(request.uri(), request.headers(), |_| Err(error)),
    }
}

/// All routes: pages with their tags and cache, the files they need, compression, and headers
/// that keep browsers from doing more than they are told.
pub fn router(app: Arc<App>) -> Router {
    let shelf = (app.clone(), Arc::new(Cache::default()));
    let header = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    pages::routes()
        .merge(waterfall::routes())
        .layer(middleware::from_fn_with_state(shelf, caching::cached))
        .layer(middleware::from_fn_with_state(app.clone(), bounded))
        .merge(statics::routes())
        .layer(CompressionLayer::new())
        .layer(header("content-security-policy", CONTENT_POLICY))
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("referrer-policy", "same-origin"))
        // After the headers: what stands in publicHtml may use scripts and styles of its own.
        .fallback(public_html::fallback)
        .with_state(app)
}
