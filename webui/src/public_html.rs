//! `publicHtml`: files beside the built-in addresses (W03).
//!
//! Every page of its own wins over a file of the same address. Where the folder has none,
//! samples stand in for `index.html`, `robots.txt` and `buildbot.css`.

use crate::{PageError, server::Shelf};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use tower::ServiceExt;
use tower_http::services::ServeDir;

/// First parts of the addresses of generated pages. Spiders are asked to leave them alone: a
/// crawl through the whole history is of use to nobody.
const GENERATED: &[&str] = &[
    "waterfall",
    "grid",
    "tgrid",
    "console",
    "builders",
    "one_box_per_builder",
    "one_line_per_build",
    "buildstatus",
    "changes",
    "buildslaves",
    "workers",
    "users",
    "json",
    "rss",
    "atom",
    "png",
    "live",
    "about",
];

/// The folder of a WebStatus.
#[derive(Clone, Debug, Default)]
pub struct PublicHtml(Option<PathBuf>);

impl PublicHtml {
    /// Serves files of `dir`, and the samples.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self(dir)
    }

    /// The file of a path, or a sample; `None` where there is neither.
    pub async fn serve(&self, path: &str) -> Option<Response> {
        let Some(file) = self.file(path).await else { return sample(path) };
        Some(file)
    }

    async fn file(&self, path: &str) -> Option<Response> {
        let dir = self.0.as_ref()?;
        if !is_public(path) {
            return None;
        }
        let request = Request::get(path).body(Body::empty()).ok()?;
        let response = ServeDir::new(dir).oneshot(request).await.ok()?;
        let found = matches!(response.status(), StatusCode::OK | StatusCode::TEMPORARY_REDIRECT);
        found.then(|| {
            let mut response = response.map(Body::new);
            response
                .headers_mut()
                .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        })
    }
}

/// Answers what no page answers: with a file, a sample, or a page that says there is none.
pub async fn fallback(State(app): Shelf, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let public = PublicHtml::new(app.site.spec.public_html.as_ref().map(PathBuf::from));
    if let Some(file) = public.serve(uri.path()).await {
        return file;
    }
    let mut response = app.page(&uri, &headers, |_| {
        let path: String = percent_decode_str(uri.path()).decode_utf8_lossy().into_owned();
        let text = format!("There is nothing at {}.", crate::text::clip(&path, 200));
        Err(PageError::not_found("No such page", text))
    });
    let policy = HeaderValue::from_static(crate::server::CONTENT_POLICY);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Whether a path names a file within the folder, and no hidden one. `.well-known` is meant
/// to be seen (RFC 8615).
fn is_public(path: &str) -> bool {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return false };
    let hidden = |part: &str| part.starts_with('.') && part != ".well-known";
    path.starts_with('/') && !path.contains(['\\', '\0']) && !path.split('/').any(hidden)
}

fn sample(path: &str) -> Option<Response> {
    let (kind, text) = match path {
        "/index.html" => ("text/html; charset=utf-8", INDEX.to_owned()),
        "/robots.txt" => ("text/plain; charset=utf-8", robots()),
        "/buildbot.css" | "/default.css" => {
            ("text/css; charset=utf-8", include_str!("../static/style.css").to_owned())
        }
        _ => return None,
    };
    Some(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response())
}

/// A page to begin with: it leads to the generated ones.
const INDEX: &str = "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width,initial-scale=1\">
<title>Buildbot</title>
<link rel=stylesheet href=\"buildbot.css\">
<main>
<h1>Buildbot</h1>
<p>This page is a sample: put an index.html of your own into the folder of publicHtml.</p>
<ul>
<li><a href=\"./\">Welcome</a>
<li><a href=\"waterfall\">Waterfall</a>
<li><a href=\"builders\">Builders</a>
<li><a href=\"about\">About</a>
</ul>
</main>
";

fn robots() -> String {
    GENERATED.iter().fold("User-agent: *\n".to_owned(), |mut text, page| {
        text.push_str(&format!("Disallow: /{page}\n"));
        text
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::body::to_bytes;

    async fn get(public: &PublicHtml, path: &str) -> Option<String> {
        let response = public.serve(path).await?;
        Some(
            String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
                .unwrap(),
        )
    }

    #[tokio::test]
    async fn w03_files_of_the_folder_are_served_and_win_over_the_samples() {
        let dir = tempfile::tempdir().unwrap();
        let public = PublicHtml::new(Some(dir.path().to_owned()));
        assert!(get(&public, "/index.html").await.unwrap().contains("sample"));
        std::fs::write(dir.path().join("index.html"), "own").unwrap();
        std::fs::create_dir(dir.path().join("docs")).unwrap();
        std::fs::write(dir.path().join("docs/a b.txt"), "text").unwrap();
        std::fs::write(dir.path().join("docs/index.html"), "index").unwrap();
        assert_eq!(get(&public, "/index.html").await.unwrap(), "own");
        assert_eq!(get(&public, "/docs/a%20b.txt").await.unwrap(), "text");
        assert_eq!(get(&public, "/docs/").await.unwrap(), "index");
        let response = public.serve("/docs/a%20b.txt").await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain");
        assert!(public.serve("/docs/nosuch").await.is_none());
    }

    #[tokio::test]
    async fn w03_nothing_outside_the_folder_and_nothing_hidden_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("public");
        std::fs::create_dir_all(inside.join(".git")).unwrap();
        std::fs::create_dir_all(inside.join(".well-known")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(inside.join(".git/config"), "secret").unwrap();
        std::fs::write(inside.join(".well-known/security.txt"), "mail us").unwrap();
        let public = PublicHtml::new(Some(inside));
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/x/../../secret",
            "/%2E%2E%2Fsecret",
            "//secret",
            "/..\\secret",
            "/%5c..%5csecret",
            "/.git/config",
            "/%2egit/config",
            "/\0",
            "/%00",
            "/%ff",
            "secret",
            "",
        ] {
            assert!(get(&public, path).await.is_none_or(|text| !text.contains("secret")), "{path}");
        }
        assert_eq!(get(&public, "/.well-known/security.txt").await.unwrap(), "mail us");
    }

    #[tokio::test]
    async fn w03_spiders_are_kept_from_every_generated_page() {
        let robots = get(&PublicHtml::default(), "/robots.txt").await.unwrap();
        for page in [
            "waterfall",
            "builders",
            "changes",
            "buildslaves",
            "one_line_per_build",
            "grid",
            "tgrid",
            "json",
            "about",
        ] {
            assert!(robots.contains(&format!("Disallow: /{page}\n")), "{page}");
        }
        assert!(get(&PublicHtml::default(), "/buildbot.css").await.unwrap().contains("--bg"));
    }
}
