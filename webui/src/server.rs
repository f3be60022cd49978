//! The pages over HTTP: routes, caching, compression, headers.

use crate::{Ask, Html, PageError, Query, Site, view::Shared};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use feed::Feed;
use model::Timestamp;
use std::sync::Arc;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// What is known of the master.
    pub view: Shared,
    /// Settings.
    pub site: Site,
    /// For the text of logs and for builds beyond memory; `None` in tests and previews.
    pub feed: Option<Feed>,
}

/// The state of every handler.
pub type Shelf = State<Arc<App>>;

impl App {
    /// Makes an [`Ask`] of a request and answers with the page: the one place where pages meet
    /// HTTP. `page` runs under the view's read lock, so it must be quick and never wait.
    pub fn page(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        page: impl FnOnce(&Ask<'_>) -> Result<Html, PageError>,
    ) -> Response {
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
        let (status, html) = match page(&ask) {
            Ok(html) => (StatusCode::OK, html),
            Err(error) => (status_of(&error), ask.error(&error)),
        };
        drop(view);
        (
            status,
            [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))],
            html.0,
        )
            .into_response()
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
fn theme_of(headers: &HeaderMap) -> Option<&'static str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|cookie| match cookie.trim() {
        "theme=dark" => Some("dark"),
        "theme=light" => Some("light"),
        _ => None,
    })
}

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new().route("/about", get(about)).with_state(app)
}

async fn about(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, |ask| ask.render("error.html", minijinja::context! {}))
}
