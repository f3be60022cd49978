//! Every page of the demo, in Chromium.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{Process, binary, free_port, wait_until};
use std::{env, path::Path, process::Command, time::Duration};

/// Pages that must have been found by following links from `/`.
const EXPECTED: [&str; 9] = [
    "/",
    "/about",
    "/builders",
    "/builders/*",
    "/builders/*/builds/*",
    "/builders/*/builds/*/steps/*",
    "/builders/*/builds/*/steps/*/logs/*",
    "/waterfall",
    "/waterfall/help",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_demo_opens_without_error_and_axe_finds_nothing() {
    let tools = env::var_os("BROWSER_TOOLS")
        .expect("BROWSER_TOOLS is not set: run the tests with `cargo xtask test`, which installs the browser's tools");
    let folder = tempfile::tempdir().unwrap();
    let shots =
        env::var_os("SCREENSHOTS").unwrap_or_else(|| folder.path().join("screenshots").into());
    let port = free_port();
    let url = format!("http://localhost:{port}");
    let mut demo = Command::new(binary());
    demo.args(["demo", "--speed", "20", "--metrics", "127.0.0.1:0", "--port", &port.to_string()]);
    demo.arg("--data").arg(folder.path().join("data"));
    let mut demo = Process::start(&mut demo, &folder.path().join("demo.out"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    wait_until(
        "the demo shows a failed and a running build",
        Duration::from_secs(60),
        async || {
            assert!(demo.ended().is_none(), "{}", demo.printed());
            let page = reqwest::get(format!("{url}/waterfall")).await.ok()?.text().await.ok()?;
            (page.contains("failed") && page.contains("/builds/")).then_some(())
        },
    )
    .await;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/run.mjs");
    let run = async || {
        let mut node = tokio::process::Command::new("node");
        node.arg(&script)
            .env("BASE_URL", &url)
            .env("BROWSER_TOOLS", &tools)
            .env("SCREENSHOTS", &shots);
        node.kill_on_drop(true).output().await.unwrap()
    };
    let output =
        tokio::time::timeout(Duration::from_secs(600), run()).await.expect("the browser ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value =
        serde_json::from_str(text.trim_end().lines().last().unwrap()).unwrap();
    let kinds: Vec<&str> =
        summary["kinds"].as_array().unwrap().iter().filter_map(|kind| kind.as_str()).collect();
    for expected in EXPECTED {
        assert!(kinds.contains(&expected), "no page links to {expected}; found {kinds:?}");
    }
    let status = demo.end(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}: {}", demo.printed());
}
