//! Serves invented builds, to look at the pages without a master:
//! `cargo run -p webui --example preview -- [BUILDERS [BUILDS [PORT]]]`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use webui::{Site, listen, server, testing, view::Shared};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let mut next = |or| numbers.next().transpose().map(|n| n.unwrap_or(or));
    let (builders, builds, port) = (next(8)?, next(60)?, next(0)?);
    let spec = serde_json::from_value(serde_json::json!({
        "masterRef": { "name": "demo" },
        "httpPort": format!("tcp:{port}:interface=127.0.0.1"),
    }))?;
    let site = Site::new(spec)?;
    let listening = listen::bind(&site.spec.http_port).await?;
    println!("{}", listening.address());
    let view = Shared::new(testing::site(builders, builds, 6, model::Timestamp::now()));
    let app = Arc::new(server::App { view, site, feed: None, logs: None });
    listening.serve(server::router(app), CancellationToken::new()).await?;
    Ok(())
}
