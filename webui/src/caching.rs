//! Pages that did not change are not made again: `ETag`, 304, and a few kept ready.
//!
//! A page is made of the view, the clock and the address. So its tag is made of the view's
//! generation, the clock in steps, the address and the theme, and is known before the page is.

use crate::server::App;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use model::Timestamp;
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Most bytes of pages kept ready.
const MOST_BYTES: usize = 6 << 20;
/// How often a page with running builds counts as changed, in seconds, for its progress.
const RUNNING: i64 = 5;
/// The same for one without.
const IDLE: i64 = 60;

/// Pages kept ready, by address, theme and encoding.
#[derive(Debug)]
pub struct Cache {
    /// Tells apart tags of this process from those of an earlier one.
    boot: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pages: HashMap<String, Page>,
    bytes: usize,
}

#[derive(Debug)]
struct Page {
    tag: String,
    body: Bytes,
    used: Instant,
}

/// Where a page that is being made may be kept.
#[derive(Clone, Debug)]
pub struct Slot {
    cache: Arc<Cache>,
    key: String,
    tag: String,
    /// Whether the reader takes gzip; the page's body is to be packed then.
    pub gzip: bool,
}

impl Default for Cache {
    fn default() -> Self {
        let mut hasher = DefaultHasher::new();
        (std::process::id(), jiff::Timestamp::now().as_nanosecond()).hash(&mut hasher);
        Self { boot: hasher.finish(), kept: Mutex::default() }
    }
}

impl Cache {
    fn tag(&self, app: &App, key: &str) -> String {
        let view = app.view.read();
        let step = if view.running().next().is_some() { RUNNING } else { IDLE };
        let mut hasher = DefaultHasher::new();
        (self.boot, view.generation(), Timestamp::now().0 / step, key).hash(&mut hasher);
        format!("W/\"{:x}\"", hasher.finish())
    }

    fn get(&self, key: &str, tag: &str) -> Option<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let page = kept.pages.get_mut(key).filter(|page| page.tag == tag)?;
        page.used = Instant::now();
        Some(page.body.clone())
    }
}

impl Slot {
    /// Keeps a finished body (packed, if [`Slot::gzip`]) for those who ask next.
    pub fn keep(&self, body: Bytes) {
        if body.len() > MOST_BYTES / 2 {
            return;
        }
        let mut kept = self.cache.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += body.len();
        let page = Page { tag: self.tag.clone(), body, used: Instant::now() };
        if let Some(old) = kept.pages.insert(self.key.clone(), page) {
            kept.bytes -= old.body.len();
        }
        while kept.bytes > MOST_BYTES {
            let oldest = kept.pages.iter().min_by_key(|(_, page)| page.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { break };
            if let Some(page) = kept.pages.remove(&key) {
                kept.bytes -= page.body.len();
            }
        }
    }
}

/// Whether the reader takes gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|line| line.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && !parts.any(|q| matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// What a reader says to have already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing of use.
    Other,
    /// The page with this tag.
    This,
    /// Any page there is (`*`).
    Any,
}

/// What `If-None-Match` says of `tag`. Tags are compared weakly (RFC 9110, 13.1.2): proxies may
/// drop the `W/`.
fn known(headers: &HeaderMap, tag: &str) -> Known {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    let own = opaque(tag);
    tags.find_map(|tag| match tag {
        "*" => Some(Known::Any),
        tag => (opaque(tag) == own).then_some(Known::This),
    })
    .unwrap_or(Known::Other)
}

/// Names an address of any length: two of them never share a page.
fn digest(address: &str) -> String {
    Sha256::digest(address).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers 304 or with a page kept ready; else has the page made and tags it.
pub async fn cached(
    State((app, cache)): State<(Arc<App>, Arc<Cache>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let head = request.method() == Method::HEAD;
    if !(head || request.method() == Method::GET) || path.starts_with("/live/") {
        return next.run(request).await;
    }
    let theme = crate::server::theme_of(request.headers()).unwrap_or_default();
    let gzip = takes_gzip(request.headers());
    let address = request.uri().path_and_query().map_or(path, |p| p.as_str());
    let key = format!("{theme} {}", digest(address));
    let tag = cache.tag(&app, &key);
    let known = known(request.headers(), &tag);
    let unchanged = || tagged(StatusCode::NOT_MODIFIED.into_response(), &tag);
    if known == Known::This {
        return unchanged();
    }
    let key = format!("{key} {gzip}");
    // A page that is kept has a body, which only GET wants.
    if !head {
        if let Some(body) = cache.get(&key, &tag) {
            return if known == Known::Any {
                unchanged()
            } else {
                tagged(html(Body::from(body), gzip), &tag)
            };
        }
        request.extensions_mut().insert(Slot { cache, key, tag: tag.clone(), gzip });
    }
    let response = next.run(request).await;
    let content = response.headers().get(header::CONTENT_TYPE);
    let is_page = response.status() == StatusCode::OK
        && !response.headers().contains_key(header::ETAG)
        && content.is_some_and(|c| c.as_bytes().starts_with(b"text/html"));
    match known {
        _ if !is_page => response,
        Known::Any => unchanged(),
        _ => tagged(response, &tag),
    }
}

/// An HTML answer.
pub(crate) fn html(body: Body, gzip: bool) -> Response {
    let content = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = ([(header::CONTENT_TYPE, content)], body).into_response();
    if gzip {
        let coding = HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, coding);
    }
    response
}

fn tagged(mut response: Response, tag: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Cookie"));
    response
}

#[cfg(test)]
mod tests {
    use super::takes_gzip;
    use axum::http::{HeaderMap, HeaderValue, header};

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (line, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br", false),
            ("gzip;q=0", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(line));
            assert_eq!(takes_gzip(&headers), takes, "{line}");
        }
    }
}
