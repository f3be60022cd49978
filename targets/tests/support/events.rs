//! A receiver that checks pushes with the libraries that receivers use, and posts to it.

use super::{about, metrics, push_spec, quick};
use delivery::{
    BatchOptions, BatchTarget as _, SendError, TargetState, budget::Budgets, compliance::Journal,
    run_batch,
};
use model::Record;
use serde_json::{Value, json};
use std::process::Stdio;
use targets::http_push::{HttpPush, Secrets};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use tokio_util::sync::CancellationToken;

/// `e2e/peers/events.py`; it ends with this.
pub struct Peer {
    lines: Lines<BufReader<ChildStdout>>,
    pub port: u16,
    _process: Child,
}

impl Peer {
    pub async fn start(settings: &Value) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/peers/events.py");
        let mut process = Command::new(e2e::python())
            .args([script, &settings.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("it starts").parse().unwrap();
        Self { lines, port, _process: process }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.port)
    }

    /// The next request.
    pub async fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }
}

pub fn push(url: &str, more: &Value, secrets: &Secrets) -> HttpPush {
    HttpPush::new("ci/push", &push_spec(url, more), secrets, about().fixed()).unwrap()
}

/// Posts these records in one request.
pub async fn post(push: &HttpPush, records: &[Record]) -> Result<(), SendError> {
    let mut state = push.load(None).unwrap();
    let items: Vec<_> =
        records.iter().map(|record| push.compose(&mut state, record).unwrap()).collect();
    let items: Vec<_> = items.iter().collect();
    let taken = push.send(&items).await?;
    assert_eq!(taken.items, records.len());
    Ok(())
}

/// Runs a push of a journal until `until`.
pub async fn run(
    push: HttpPush,
    journal: &Journal,
    until: impl FnMut(&TargetState) -> bool,
) -> TargetState {
    let options = BatchOptions { hold: quick(), ..push.options("push", &Budgets::default()) };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let run = tokio::spawn(run_batch(journal.open(), push, options, metrics(), cancel.clone()));
    let reached = state.wait_for(until).await.unwrap().clone();
    cancel.cancel();
    run.await.unwrap().unwrap();
    reached
}

/// Settings of a run without waits.
pub fn soon() -> Value {
    json!({ "bufferDelay": "1ms", "retryDelay": "2ms" })
}
