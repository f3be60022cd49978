//! Serves the pages of the tests' small world, to look at them: `cargo run --example preview`.

#[path = "../tests/fixture/mod.rs"]
#[allow(dead_code, clippy::cast_sign_loss, clippy::cast_possible_wrap)]
mod fixture;

use std::{error::Error, net::Ipv4Addr};
use webui::{Site, server::router};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let spec = serde_json::from_value(serde_json::json!({
        "masterRef": {"name": "preview"},
        "changecommentlink": {"*": {"pattern": r"bug #(\d+)", "url": r"https://bugs.example.org/\1"}},
        "revlink": {"*": "https://git.example.org/app/commit/%s"},
    }))?;
    let app = fixture::app(Site::new(spec)?);
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    #[allow(clippy::print_stdout, reason = "a preview tells where it is")]
    {
        println!("http://{}/", listener.local_addr()?);
    }
    axum::serve(listener, router(app)).await?;
    Ok(())
}
