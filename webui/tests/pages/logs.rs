//! Logs as pages, as text and as a stream of lines: rows P13 and P14.

use super::{app, ask, fixture, page, refused};
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use fixture::NASTY;
use model::segment;
use regex::Regex;
use std::io::Read as _;
use tower::ServiceExt;
use webui::server::router;

const LOGS: &str = "/builders/unit%20win%2F32/builds/26/steps/test/logs";

#[tokio::test]
async fn p13_a_log_tells_its_channels_apart_and_leads_to_the_first_error() {
    let html = page(&format!("{LOGS}/stdio")).await;
    assert!(html.contains("<details><summary>Header, 8 lines: python3 runtests.py"), "{html}");
    assert!(
        html.contains("<p id=l16><a href=\"#l16\">16</a><span><span class=\"a1 a31\">FAIL</span>")
    );
    assert!(
        html.contains("<p id=l17 class=le>") && html.contains("&lt;b&gt;Lists differ&lt;/b&gt;")
    );
    assert!(html.contains("href=\"#l16\">First error, line 16<"));
    assert!(html.contains("href=\"stdio/text\"") && html.contains("</footer>"));
    assert!(!html.contains("data-stream"), "it is complete");
    assert!(page(&format!("{LOGS}/empty")).await.contains("This log is empty"));
}

#[tokio::test]
async fn p13_a_long_log_is_shown_page_by_page() {
    let html = page(&format!("{LOGS}/long%20log")).await;
    assert!(html.contains("id=l1>") && html.contains("id=l10000>") && !html.contains("id=l10001>"));
    assert!(html.contains("?first=10001") && html.contains("?first=20001"));
    let html = page(&format!("{LOGS}/long%20log?first=20001")).await;
    assert!(html.contains("id=l25000>") && !html.contains("id=l20000>"));
    let html = page(&format!("{LOGS}/long_log?first=99999")).await;
    assert!(html.contains("id=l25000>"), "by slug, and beyond the end");
    refused(&format!("{LOGS}/stdio?first=0"), 400, &["first=0"]).await;
    refused(&format!("{LOGS}/stdio?first=x"), 400, &["first=x"]).await;
}

#[tokio::test]
async fn p13_a_log_that_is_written_offers_the_stream_of_its_lines() {
    let (_, _, html) = ask(&app(), "/builders/unit-linux/builds/27").await;
    let link = Regex::new("href=\"[./]*(builders/unit-linux/builds/27/steps/[a-z]+)\"").unwrap();
    let step = link.captures_iter(&html).last().unwrap()[1].to_owned();
    let html = page(&format!("/{step}/logs/stdio")).await;
    assert!(html.contains("data-stream=\"stdio/live?first=3\""), "{html}");
    assert!(html.contains("id=l2>") && html.contains("2 lines so far"), "told of or not: {html}");
    let beyond = page(&format!("/{step}/logs/stdio?first=99")).await;
    assert!(beyond.contains("id=l1>") && beyond.contains("live?first=3"), "{beyond}");
    let (status, headers, _) = ask_head(&format!("/{step}/logs/stdio/live?first=1")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/event-stream");
}

/// Status and headers, with the first piece of the body.
async fn ask_head(path: &str) -> (StatusCode, HeaderMap, String) {
    use futures_util::StreamExt;
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(app()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let first = body.into_data_stream().next().await.unwrap().unwrap();
    (parts.status, parts.headers, String::from_utf8(first.to_vec()).unwrap())
}

#[tokio::test]
async fn p13_watchers_of_a_finished_log_get_its_lines_and_the_end() {
    let (status, _, body) = ask(&app(), &format!("{LOGS}/stdio/live?first=16")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.starts_with("event: lines\ndata: <p id=l16>"), "{body}");
    assert!(body.ends_with("event: end\ndata: end\n\n"), "{body:?}");
    refused(&format!("{LOGS}/stdio/live?first=x"), 400, &["first=x"]).await;
}

#[tokio::test]
async fn p13_a_watcher_that_connects_again_goes_on_behind_the_last_line_it_got() {
    let path = format!("{LOGS}/stdio/live?first=16");
    let (_, _, body) = ask(&app(), &path).await;
    let id = Regex::new("\nid: ([0-9]+)\n").unwrap().captures(&body).unwrap()[1].to_owned();
    let lines = body.matches("<p id=l").count() as u64;
    assert_eq!(id, (16 + lines).to_string(), "{body}");
    for (last, wanted) in [(id.as_str(), 0), ("17", lines - 1), ("x", lines), ("0", lines)] {
        let request = Request::get(&path).header("last-event-id", last);
        let response = router(app()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(body.matches("<p id=l").count() as u64, wanted, "{last}: {body}");
        assert!(body.ends_with("event: end\ndata: end\n\n"), "{body}");
    }
}

#[tokio::test]
async fn p13_p14_a_compressed_log_is_the_same_log() {
    // The footer says when the page was made.
    let made = Regex::new("Built [^<]*<").unwrap();
    for path in [format!("{LOGS}/stdio"), format!("{LOGS}/stdio/text")] {
        let (_, _, plain) = ask(&app(), &path).await;
        let request = Request::get(&path).header(header::ACCEPT_ENCODING, "gzip");
        let request = request.body(Body::empty()).unwrap();
        let response = router(app()).oneshot(request).await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip", "{path}");
        let body = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(body.as_ref()).read_to_string(&mut text).unwrap();
        assert_eq!(made.replace(&text, "<"), made.replace(&plain, "<"), "{path}");
    }
}

#[tokio::test]
async fn p13_an_html_log_is_a_page_of_its_own_that_can_run_nothing() {
    let (status, headers, body) = ask(&app(), &format!("{LOGS}/report.html")).await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::OK, "<h1>Report</h1><script>alert(1)</script>\n")
    );
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("sandbox; default-src 'none'") && !policy.contains("script"));
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[tokio::test]
async fn p13_a_log_that_is_gone_is_an_error_in_plain_words() {
    refused(&format!("{LOGS}/old"), 410, &["deleted this log"]).await;
    refused(&format!("{LOGS}/nosuch"), 404, &["no log named “nosuch”", "logs/stdio"]).await;
    refused(&format!("{LOGS}/{}", segment(NASTY)), 404, &["The master has this log no more"]).await;
}

#[tokio::test]
async fn p14_plain_text_is_the_programs_own_without_headers() {
    let (status, headers, body) = ask(&app(), &format!("{LOGS}/stdio/text")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert!(body.starts_with("\x1b[32mok\x1b[0m     1  test_pager_first_page\n"), "{body:?}");
    assert!(
        body.contains("test_quote_trailing_backslash\nTraceback (most")
            && !body.contains("elapsedTime")
    );
    assert!(body.ends_with("bright\x1b[0m\n"));
    let (_, _, long) = ask(&app(), &format!("{LOGS}/long%20log/text")).await;
    assert_eq!(long.lines().count() as u64, fixture::LONG_LINES);
    assert!(long.ends_with("line 25000\n"));
    let path = "/builders/unit%20win%2F32/builds/26/steps/compile/logs/build.log/text";
    assert_eq!(ask(&app(), path).await.2, "plain <text>\nhnot a header\n");
    assert_eq!(
        ask(&app(), &format!("{LOGS}/report.html/text")).await.1[header::CONTENT_TYPE],
        "text/plain; charset=utf-8"
    );
    assert_eq!(ask(&app(), &format!("{LOGS}/empty/text")).await.2, "");
}
