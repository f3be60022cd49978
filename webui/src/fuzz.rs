//! Requests and log texts, changed: every answer is an expected one, and no text of the request or of a
//! log becomes markup.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../tests/fixture/mod.rs"]
#[allow(
    dead_code,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation
)]
mod fixture;

use crate::{
    Site,
    logs::lines::Lines,
    server::router,
    text::{ansi::Ansi, escape},
};
use axum::{
    body::{Body, to_bytes},
    http::{Request, Uri, header},
};
use fuzz::{check, text};
use master::LogChunk;
use model::LogKind;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::time::Duration;
use tower::ServiceExt as _;

/// Pages with their arguments; `B` is a builder, `N` the one whose name is all but a name.
const PAGES: &[&str] = &[
    "/",
    "/about",
    "/builders?category=unit&builder=docs&branch=master",
    "/one_line_per_build?numbuilds=20&builder=docs&branch=master&failures_only=true",
    "/one_box_per_builder?builder=docs&branch=master",
    "/buildstatus?builder=docs&number=3",
    "/builders/unit%20win%2F32?numbuilds=15",
    "/builders/N/builds",
    "/builders/docs/builds/3",
    "/builders/unit-linux/builds/27/steps",
    "/builders/unit%20win%2F32/builds/26/steps/test",
    "/builders/unit%20win%2F32/builds/26/steps/test/logs",
    "/builders/unit%20win%2F32/builds/26/steps/test/logs/stdio?first=0&q=FAIL",
    "/builders/unit%20win%2F32/builds/26/steps/test/logs/stdio/text?headers=0",
    "/builders/N/builds/26/steps/test/logs/stdio",
    "/changes?numchanges=20&project=app&branch=master",
    "/changes/3",
    "/buildslaves?builder=docs&show_old=true",
    "/workers/N",
    "/workers/w1?numbuilds=5",
    "/waterfall?show_events=true&category=unit&builder=docs&branch=master&committer=Ann&reload=30&last_time=1795446720&first_time=1&show_time=60&num_events=200&failures_only=true&no_bubble=1",
    "/waterfall/help?builder=docs",
    "/static/style.css",
    "/favicon.ico",
];
const WORDS: &[&str] = &[
    "&builder=",
    "&category=",
    "&branch=",
    "&numbuilds=",
    "?",
    "#",
    "/",
    "//",
    "+",
    "%2F",
    "%3Czq%3E",
    "%22zq=%22",
    "%00",
    "%0d%0aX-Zq:%201",
    "%ff",
    "builder=N",
    "&first=",
    "&reload=",
    "&last_time=",
    "&show_time=",
    "..",
    "/steps/",
    "/logs/",
    "/text",
    "/live",
    "theme=dark",
];

/// The tags of a page: names, and names of attributes.
///
/// # Panics
/// Where the text is no well-formed markup.
fn tags(html: &str) -> Vec<(String, Vec<String>)> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = &comment[comment.find("-->").expect("a comment ends")..];
            continue;
        }
        let mut inside = &rest[1..];
        let name = word(&mut inside);
        assert!(!name.is_empty(), "a `<` begins no tag: {:.80}", rest);
        let mut attributes = Vec::new();
        loop {
            inside = inside.trim_start();
            if let Some(after) = inside.strip_prefix('>') {
                rest = after;
                break;
            }
            if let Some(after) = inside.strip_prefix("/>") {
                rest = after;
                break;
            }
            let attribute = word(&mut inside);
            assert!(!attribute.is_empty(), "no attribute: {inside:.80} in {rest:.200}");
            attributes.push(attribute);
            if let Some(value) = inside.strip_prefix('=') {
                inside = match value.chars().next().filter(|c| ['"', '\''].contains(c)) {
                    Some(quote) => {
                        let end = value[1..].find(quote).expect("a value ends");
                        assert!(!value[1..=end].contains('<'), "a raw `<`: {rest:.200}");
                        &value[end + 2..]
                    }
                    None => {
                        let ends = |c: char| c == '>' || c.is_whitespace();
                        let end = value.find(ends).expect("a value ends");
                        let strange = ['"', '\'', '<', '=', '`'];
                        assert!(!value[..end].contains(strange), "without quotes: {rest:.200}");
                        &value[end..]
                    }
                };
            }
        }
        tags.push((name, attributes));
    }
    tags
}

fn word(text: &mut &str) -> String {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "-:_/!".contains(c));
    let length = match text.find(ends) {
        Some(length) => length,
        None => text.len(),
    };
    // `/>` ends a tag, `/p` is its end.
    let length = if length > 1 && text[..length].ends_with('/') { length - 1 } else { length };
    let (word, rest) = text.split_at(length);
    *text = rest;
    word.to_owned()
}

fn is_clean(html: &str, asked: &str) {
    for (tag, attributes) in tags(html) {
        assert!(!tag.contains("zq"), "{asked} wrote the tag {tag}");
        for attribute in attributes {
            assert!(!attribute.contains("zq"), "{asked} wrote the attribute {attribute}");
        }
    }
}

#[test]
fn any_request_has_a_page_or_a_refusal_and_none_of_its_text_becomes_markup() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let spec = serde_json::json!({"masterRef": {"name": "m"}});
    let site = Site::new(serde_json::from_value(spec).unwrap()).unwrap();
    let app = fixture::app(site);
    let name = utf8_percent_encode(fixture::NASTY, NON_ALPHANUMERIC).to_string();
    let pages: Vec<String> =
        PAGES.iter().map(|page| page.replace("/N", &format!("/{name}"))).collect();
    let cookies = ["theme=dark", "theme=light; other=1", "a=b; theme=<zq>"];
    check(400, (text(&pages, WORDS), text(&cookies, &[])), |(path, cookie)| {
        // As a client must write it: what can't stand in an address is encoded.
        let address: String = path
            .bytes()
            .map(|b| match b {
                b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'\\' | b'^' | b'|' => {
                    format!("%{b:02X}")
                }
                0x21..=0x7e => char::from(b).to_string(),
                _ => format!("%{b:02X}"),
            })
            .collect();
        let Ok(uri) = format!("/{}", address.trim_start_matches('/')).parse::<Uri>() else {
            return;
        };
        let mut request = Request::get(uri);
        if let Ok(cookie) = header::HeaderValue::from_str(&cookie) {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Body::empty()).unwrap();
        runtime.block_on(async {
            let response = router(app.clone()).oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let status = parts.status.as_u16();
            let expected = [200, 301, 302, 303, 304, 307, 308, 400, 404, 405, 414];
            assert!(expected.contains(&status), "{address}: {status}");
            assert!(!parts.headers.contains_key("x-zq"), "{address}");
            let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            // A stream of what is still to come does not end.
            if kind != Some("text/html; charset=utf-8") {
                return;
            }
            let body = tokio::time::timeout(Duration::from_secs(30), to_bytes(body, 64 << 20));
            let body = body.await.expect("a page ends").unwrap();
            let html = String::from_utf8(body.to_vec()).unwrap();
            is_clean(&html, &address);
        });
    });
}

const LOGS: &[&str] = &[
    "hpython3 runtests.py\nh in dir /srv/bb/w1/build\noall\neTraceback <b>Lists differ</b>: ['C:\\\\out\\\"']\n",
    "o 10%\r 50%\r100% linked\no\u{1b}[33m1 skipped\u{1b}[0m, \u{1b}[38;5;39m7 passed\u{1b}[0m in 4.31 s\n",
    "o\u{1b}[44;97m a bar \u{1b}[0m \u{1b}[3mitalic\u{1b}[23m \u{1b}]8;;http://a/\u{1b}\\link\u{1b}]8;;\u{1b}\\\n",
    "hprogram finished with exit code 1\nhelapsedTime=4.310226\n",
];

#[test]
fn any_log_text_is_shown_as_text() {
    check(2000, text(LOGS, &["\u{1b}[", "m", ";", "\u{1b}]", "\u{7}", "\ne", "\nh"]), |text| {
        for kind in [LogKind::Stdio, LogKind::Text] {
            let mut out = String::new();
            let mut lines = Lines::new(kind);
            // In two pieces, as a log that grows.
            let half = text.floor_char_boundary(text.len() / 2);
            let first = text[..half].rfind('\n').map_or(0, |at| at + 1);
            lines.chunk(&LogChunk { first: 0, text: text[..first].to_owned() }, &mut out);
            let second = text[..first].matches('\n').count() as u64;
            lines.chunk(&LogChunk { first: second, text: text[first..].to_owned() }, &mut out);
            lines.end(&mut out);
            is_clean(&out, "a log");
            // Marks for a line and for each change of colour.
            let marks = 300 * (text.lines().count() + text.matches('\u{1b}').count() + 2);
            assert!(out.len() <= 6 * text.len() + marks, "{} of {} bytes", out.len(), text.len());
        }
        let mut out = String::new();
        Ansi::default().line(&text, &mut out);
        for (tag, attributes) in tags(&out) {
            assert!(["span", "/span"].contains(&tag.as_str()), "{tag}");
            assert!(attributes.iter().all(|attribute| attribute == "class"), "{attributes:?}");
        }
        assert!(!escape(&text).contains(['<', '>', '"', '\'']));
    });
}
