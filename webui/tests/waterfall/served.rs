//! How pages are served: tags, policies, updates, listeners.

use super::site;
use axum::{body::Body, http::Request};
use model::{Event, Timestamp};
use std::sync::Arc;
use tower::ServiceExt;
use webui::{
    server::{App, router},
    testing::{self, record, worker},
    view::Shared,
};

async fn get(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> axum::response::Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    // A router of its own each time would forget what it keeps ready; the tag must not need that.
    router(app.clone()).oneshot(request).await.unwrap()
}

fn app() -> Arc<App> {
    let view = Shared::new(testing::site(4, 30, 5, Timestamp::now()));
    Arc::new(App { view, site: site(serde_json::json!({})), feed: None, logs: None })
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again_and_a_changed_one_is() {
    let app = app();
    let router = router(app.clone());
    let ask = |tag: Option<String>| {
        let mut request = Request::get("/waterfall").header("accept-encoding", "gzip");
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let first = ask(None).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["content-encoding"], "gzip");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let whole = axum::body::to_bytes(first.into_body(), usize::MAX).await.unwrap();
    let mut html = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&whole[..]), &mut html)
        .unwrap();
    assert!(html.contains("<tbody id=live>") && html.trim_end().ends_with("</footer>"), "{html}");
    app.view.update(|view| {
        view.apply(&record(99, 0, Event::WorkerConnected { worker: worker(9, &[1]) }));
    });
    assert_eq!(ask(Some(tag)).await.unwrap().status(), 200, "it changed");
    // The clock may step between two requests, so one of a few tries must be unchanged.
    let mut unchanged = false;
    for _ in 0..3 {
        let tag = ask(None).await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
        unchanged |= ask(Some(tag)).await.unwrap().status() == 304;
    }
    assert!(unchanged);
}

#[tokio::test]
async fn w06_long_addresses_that_differ_at_their_end_are_different_pages() {
    let router = router(app());
    let long = "x".repeat(3000);
    let ask = |end: &'static str| {
        let path = format!("/waterfall?project={long}{end}");
        router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap())
    };
    let (one, other) = (ask("a").await.unwrap(), ask("b").await.unwrap());
    assert_ne!(one.headers()["etag"], other.headers()["etag"]);
    // The first is kept ready now, but for its own address alone.
    let _ = axum::body::to_bytes(one.into_body(), usize::MAX).await.unwrap();
    let _ = axum::body::to_bytes(other.into_body(), usize::MAX).await.unwrap();
    for end in ["a", "b"] {
        let answer = ask(end).await.unwrap().into_body();
        let html = axum::body::to_bytes(answer, usize::MAX).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains(&format!("x{end}\"")), "{end}");
    }
}

#[tokio::test]
async fn w06_more_arguments_than_are_read_are_refused() {
    let app = app();
    let many = |n: usize| format!("/builders?{}", "builder=b1&".repeat(n));
    assert_eq!(get(&app, &many(200), &[]).await.status(), 200);
    let answer = get(&app, &many(201), &[]).await;
    assert_eq!(answer.status(), 400);
    let html = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let html = String::from_utf8(html.to_vec()).unwrap();
    assert!(html.contains("too many arguments: the address has 201"), "{html}");
    let live = many(201).replace("/builders", "/live/waterfall");
    assert_eq!(get(&app, &live, &[]).await.status(), 400);
}

#[tokio::test]
async fn an_unchanged_page_is_known_by_a_weak_comparison_and_by_a_star_and_to_head() {
    let router = router(app());
    let ask = |method: &'static str, path: &'static str, known: String| {
        let request = Request::builder().method(method).uri(path).header("if-none-match", known);
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    for method in ["GET", "HEAD"] {
        assert_eq!(ask(method, "/builders", "*".into()).await.unwrap().status(), 304, "{method}");
        assert_eq!(ask(method, "/builders/x", "*".into()).await.unwrap().status(), 404, "{method}");
        // The clock may step between two requests, so one of a few tries must be unchanged.
        let mut unchanged = false;
        for _ in 0..3 {
            let first = ask(method, "/builders", "\"other\"".into()).await.unwrap();
            assert_eq!(first.status(), 200, "{method}");
            let tag = first.headers()["etag"].to_str().unwrap().replace("W/", "\"a\", ");
            unchanged |= ask(method, "/builders", tag).await.unwrap().status() == 304;
        }
        assert!(unchanged, "{method}");
    }
}

#[tokio::test]
async fn pages_carry_a_policy_that_lets_nothing_foreign_in() {
    let app = app();
    for path in ["/waterfall", "/waterfall/help", "/style.css", "/waterfall?num_events=x"] {
        let response = get(&app, path, &[]).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    let html = get(&app, "/waterfall", &[]).await;
    let html = axum::body::to_bytes(html.into_body(), usize::MAX).await.unwrap();
    let html = String::from_utf8(html.to_vec()).unwrap();
    assert!(!html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick"));
}

#[tokio::test]
async fn updates_bring_a_page_up_to_date_and_end_when_nobody_reads() {
    use tokio_stream::StreamExt;
    let app = app();
    let response = get(&app, "/live/waterfall?since=0", &[]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("event: body") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(text.contains("event: head\ndata: <tr>"), "{text}");
    assert_eq!(get(&app, "/live/waterfall?since=x", &[]).await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn p02_a_page_whose_columns_changed_is_told_to_load_again() {
    use tokio_stream::StreamExt;
    let app = app();
    let page = get(&app, "/waterfall?failures_only=false", &[]).await.into_body();
    let page = axum::body::to_bytes(page, usize::MAX).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let (_, stream) = page.split_once("data-stream=\"./").unwrap();
    let path = format!("/{}", stream.split_once('"').unwrap().0.replace("&amp;", "&"));
    let mut stream = get(&app, &path, &[]).await.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("event: body") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(!text.contains("event: stale"), "{text}");
    let builder = testing::builder(99, None, &[]);
    app.view.update(|view| view.apply(&record(98, 0, Event::BuilderAdded { builder })));
    let next = async {
        loop {
            let piece = stream.next().await.unwrap().unwrap();
            let piece = std::str::from_utf8(&piece).unwrap().to_owned();
            if piece.starts_with("event") {
                return piece;
            }
        }
    };
    assert_eq!(next.await, "event: stale\ndata:  \n\n", "without data browsers drop it");
    // The same page, when its browser connects again.
    let mut again = get(&app, &path, &[]).await.into_body().into_data_stream();
    let first = again.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: stale"), "{first:?}");
}

#[tokio::test]
async fn w01_a_server_that_stops_ends_the_streams_of_its_readers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cancel = tokio_util::sync::CancellationToken::new();
    let listen = "tcp:0:interface=127.0.0.1".parse().unwrap();
    let listening = webui::listen::bind(&listen).await.unwrap();
    let address = listening.address();
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let mut reader = tokio::net::TcpStream::connect(address).await.unwrap();
    let server = tokio::spawn(listening.serve(router(app()), cancel.clone()));
    let ask = b"GET /live/waterfall?since=0 HTTP/1.1\r\nhost: x\r\n\r\n";
    reader.write_all(ask).await.unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("event: body") {
        assert_ne!(reader.read_buf(&mut text).await.unwrap(), 0, "the stream goes on");
    }
    cancel.cancel();
    // Requests that go on by themselves are given five seconds.
    let soon = std::time::Duration::from_secs(3);
    tokio::time::timeout(soon, server).await.expect("it stops at once").unwrap().unwrap();
    reader.read_to_end(&mut text).await.unwrap();
    assert!(text.ends_with(b"0\r\n\r\n"), "the answer is whole");
}

#[tokio::test]
async fn w01_only_a_socket_that_nobody_listens_on_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let bind = |name: &str| {
        let listen = format!("unix:{}", dir.path().join(name).display()).parse().unwrap();
        async move { webui::listen::bind(&listen).await }
    };
    let file = dir.path().join("file");
    std::fs::write(&file, "somebody's").unwrap();
    let error = bind("file").await.unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's");
    let _in_use = bind("used").await.unwrap();
    bind("used").await.unwrap_err();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("left")).unwrap());
    bind("left").await.unwrap();
}

#[tokio::test]
async fn w01_listens_on_an_interface_and_on_a_unix_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("www.sock");
    let cancel = tokio_util::sync::CancellationToken::new();
    for listen in
        ["tcp:0:interface=127.0.0.1".to_owned(), format!("unix:{}:mode=600", path.display())]
    {
        let listening = webui::listen::bind(&listen.parse().unwrap()).await.unwrap();
        let address = listening.address();
        let server = tokio::spawn(listening.serve(router(app()), cancel.child_token()));
        let ask = b"GET /style.css HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let mut answer = Vec::new();
        if let Some(address) = address.strip_prefix("http://") {
            let address = address.trim_end_matches('/');
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(ask).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        } else {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(&path).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
            let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            stream.write_all(ask).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
        drop(server);
    }
    cancel.cancel();
    let taken = webui::listen::bind(&"tcp:0:interface=127.0.0.1".parse().unwrap()).await.unwrap();
    let port = taken.address().rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let again = format!("tcp:{port}:interface=127.0.0.1");
    let error = webui::listen::bind(&again.parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {again}")), "{error}");
}
