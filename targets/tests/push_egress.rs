//! Where pushes may go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::{Router, http::Uri};
use delivery::{
    BatchOptions,
    compliance::{Journal, records},
};
use delivery::{BatchTarget, Health, SendError, Taken, budget::Budgets, run_batch};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
};
use support::{about, finished, metrics, push_spec, quick};
use targets::http_push::{HttpPush, Secrets};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

fn push(url: &str, more: &Value) -> HttpPush {
    HttpPush::new("ci/push", &push_spec(url, more), &Secrets::default(), about().fixed()).unwrap()
}

/// Posts one finished build.
async fn post(push: &HttpPush) -> Result<Taken, SendError> {
    let mut state = push.load(None).unwrap();
    let item = push.compose(&mut state, &finished("failure")).unwrap();
    push.send(&[&item]).await
}

/// A server on loopback that takes everything, and what it was asked for.
async fn server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let take = move |uri: Uri| {
        seen.lock().unwrap().push(uri.to_string());
        async {}
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
    (address, asked)
}

#[tokio::test]
async fn g07_addresses_of_this_machine_need_leave_however_they_are_written() {
    let (address, asked) = server().await;
    let port = address.port();
    let forbidden = json!({ "allowPrivateAddresses": false });
    for (host, says) in [
        ("127.0.0.1", "127.0.0.1, which is loopback"),
        ("localhost", "which is loopback"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1, which is loopback"),
        // What browsers and resolvers take for 127.0.0.1.
        ("2130706433", "127.0.0.1, which is loopback"),
        ("0x7f.1", "127.0.0.1, which is loopback"),
    ] {
        let push = push(&format!("http://{host}:{port}/x"), &forbidden);
        let Err(SendError::Misconfigured(text)) = post(&push).await else { panic!("{host}") };
        assert!(text.contains(says) && text.contains("spec.allowPrivateAddresses: true"), "{text}");
    }
    assert!(asked.lock().unwrap().is_empty(), "nobody connected");
    for host in ["127.0.0.1", "localhost"] {
        let push = push(&format!("http://{host}:{port}/x"), &json!({}));
        assert_eq!(post(&push).await, Ok(Taken::all(1)), "{host}");
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn g07_a_clouds_metadata_is_never_asked_whatever_is_allowed() {
    for host in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0"] {
        let push = push(&format!("http://{host}/latest/meta-data/"), &json!({}));
        let Err(SendError::Misconfigured(text)) = post(&push).await else { panic!("{host}") };
        assert!(text.contains("change spec.serverUrl"), "{text}");
    }
}

#[tokio::test]
async fn g07_a_forbidden_address_holds_the_push_and_loses_nothing() {
    let (address, _) = server().await;
    let url = format!("http://localhost:{}/x", address.port());
    let journal = Journal::new(records(1, 3));
    for (allowed, left) in [(false, 3), (true, 0)] {
        let more = json!({
            "allowPrivateAddresses": allowed, "bufferDelay": "1ms", "retryDelay": "2ms",
        });
        let push = push(&url, &more);
        let options = BatchOptions { hold: quick(), ..push.options("push", &Budgets::default()) };
        let mut state = options.watch();
        let cancel = CancellationToken::new();
        let run = tokio::spawn(run_batch(journal.open(), push, options, metrics(), cancel.clone()));
        let reached = state.wait_for(|state| match allowed {
            true => state.delivered == 3,
            false => state.health == Health::Misconfigured && state.retried > 1,
        });
        let reached = reached.await.unwrap().clone();
        cancel.cancel();
        run.await.unwrap().unwrap();
        assert_eq!((reached.dead_letters, journal.open_positions().len()), (0, left));
    }
}

/// The environment is a process's own, so this test runs itself again in one that has a proxy.
#[tokio::test]
async fn g07_no_proxy_of_the_environment_is_used() {
    const TARGET: &str = "TEST_TARGET";
    if let Ok(url) = std::env::var(TARGET) {
        post(&push(&url, &json!({}))).await.unwrap();
        return;
    }
    let (address, asked) = server().await;
    let (proxy, proxied) = server().await;
    let mut own = Command::new(std::env::current_exe().unwrap());
    own.args(["--exact", "g07_no_proxy_of_the_environment_is_used"])
        .env(TARGET, format!("http://{address}/x"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        own.env(name, format!("http://{proxy}"));
    }
    let run = tokio::task::spawn_blocking(move || own.output().unwrap());
    let output = run.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((asked.lock().unwrap().len(), proxied.lock().unwrap().len()), (1, 0));
}
