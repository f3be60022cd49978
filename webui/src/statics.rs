//! The style sheet, the script and the icon: part of the program, so they always fit the pages.

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};

/// Address, content type, bytes.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../static/style.css")),
    ("/enhance.js", "text/javascript; charset=utf-8", include_bytes!("../static/enhance.js")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../static/favicon.svg")),
];

/// Routes of the static files.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, &(path, content, bytes)| {
        let tag = Sha256::digest(bytes)
            .iter()
            .take(8)
            .fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}"));
        let tag = format!("{tag}\"");
        let answer = move |headers: HeaderMap| {
            let answer = file(&headers, &tag, content, bytes);
            async move { answer }
        };
        router.route(path, get(answer))
    })
}

fn file(headers: &HeaderMap, tag: &str, content: &'static str, bytes: &'static [u8]) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    // A proxy that packs the file weakens its tag.
    let known = known.map(|k| k.trim().trim_start_matches("W/"));
    let mut response = if known == Some(tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(content))], bytes).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
