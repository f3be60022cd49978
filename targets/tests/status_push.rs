//! A StatusPush and real programs (row G06).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{BatchTarget as _, RunError, SendError, Taken, compliance, run_batch};
use feed::{ConsumerOptions, Feed, Options};
use master::{Batch, Sink};
use model::World;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use support::{about, metrics, program_spec};
use targets::status_push::StatusPush;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A script without an end of its own unless it says so.
fn script(folder: &Path, text: &str) -> String {
    let file = folder.join("program");
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

fn push(command: &str, more: &Value) -> StatusPush {
    let quick = json!({ "bufferDelay": "1ms", "retryDelay": "5ms" });
    let mut all = quick.as_object().unwrap().clone();
    all.extend(more.as_object().unwrap().clone());
    StatusPush::new(&program_spec(&[command], &all.into()), about().fixed()).unwrap()
}

/// What a run is, until it is cancelled.
struct Run {
    feed: Feed,
    cancel: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    state: tokio::sync::watch::Receiver<delivery::TargetState>,
}

impl Run {
    async fn start(journal: &Path, push: StatusPush) -> Self {
        let feed = Feed::open(journal, Options::default()).unwrap();
        let consumer = feed.consumer("program", ConsumerOptions::default()).await.unwrap();
        let options = push.options("program");
        let (state, cancel) = (options.watch(), CancellationToken::new());
        let task = tokio::spawn(run_batch(consumer, push, options, metrics(), cancel.clone()));
        Self { feed, cancel, task, state }
    }

    /// Journals builds of two builders: ten in all, `range` of them now.
    async fn builds(&self, range: std::ops::Range<usize>) {
        let events = compliance::records(2, 5).into_iter().map(|record| record.event);
        let events = events.skip(range.start).take(range.len()).collect();
        let batch = Batch { events, ..Batch::default() };
        self.feed.ingest().commit(batch, &World::default()).await.unwrap();
    }

    async fn delivered(&mut self, count: u64) {
        self.state.wait_for(|state| state.delivered == count).await.unwrap();
    }

    async fn end(self) {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap();
        self.feed.close().await;
    }
}

/// Events and numbers of the packets in a file, a line each.
fn packets(file: &Path) -> Vec<(u64, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let packets = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    packets.map(|p| (p["id"].as_u64().unwrap(), p["event"].as_str().unwrap().to_owned())).collect()
}

fn ten() -> Vec<(u64, String)> {
    let builds = (2..=11).map(|id| (id, "buildFinished".to_owned()));
    [(1, "start".to_owned())].into_iter().chain(builds).collect()
}

#[tokio::test]
async fn g06_a_program_that_runs_on_gets_each_packet_once_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let text = format!("while read -r line; do echo \"$line\" >> {}; echo 1; done", out.display());
    let program = script(dir.path(), &text);
    for range in [0..4, 4..10] {
        let mut run = Run::start(&dir.path().join("journal"), push(&program, &json!({}))).await;
        let count = range.len() as u64;
        run.builds(range).await;
        run.delivered(count).await;
        run.end().await;
    }
    assert_eq!(packets(&out), ten());
}

#[tokio::test]
async fn g06_a_program_that_takes_one_and_ends_is_started_again_for_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let program =
        script(dir.path(), &format!("read -r line; echo \"$line\" >> {}; echo 1", out.display()));
    let mut run = Run::start(&dir.path().join("journal"), push(&program, &json!({}))).await;
    run.builds(0..10).await;
    run.delivered(10).await;
    run.end().await;
    // The first record is two packets, `start` among them; the first is not given again either.
    assert_eq!(packets(&out), ten());
}

#[tokio::test]
async fn g06_what_a_program_refuses_is_a_dead_letter_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let text = format!(
        "while read -r line; do case $line in *'\"id\":5,'*) echo 'refused: no fives';; *) echo \"$line\" >> {}; echo 1;; esac; done",
        out.display()
    );
    let program = script(dir.path(), &text);
    let mut run = Run::start(&dir.path().join("journal"), push(&program, &json!({}))).await;
    run.builds(0..10).await;
    run.delivered(9).await;
    run.state.wait_for(|state| state.dead_letters == 1).await.unwrap();
    let letters = run.feed.dead_letters("program", None, 10).await.unwrap();
    assert_eq!(letters[0].letter.text, "the program refuses it: no fives");
    run.end().await;
    let ids: Vec<u64> = packets(&out).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
}

/// What a program makes of one packet.
async fn tried(program: &str, more: &Value) -> Result<Taken, SendError> {
    let push = push(program, more);
    let mut state = push.load(None).unwrap();
    let item = push.compose(&mut state, &compliance::records(1, 1)[0]).unwrap();
    push.send(&[&item]).await
}

#[tokio::test]
async fn g06_a_program_that_fails_is_told_of_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let fails = script(dir.path(), "echo 'no route to the dashboard' >&2; exit 3");
    let error = tried(&fails, &json!({})).await.unwrap_err();
    let text = "the program ended (exit status: 3): no route to the dashboard";
    assert_eq!(error, SendError::Transient(text.to_owned()));

    let greedy = script(dir.path(), "echo 70; cat > /dev/null");
    let error = tried(&greedy, &json!({})).await.unwrap_err();
    assert!(
        matches!(&error, SendError::Misconfigured(text) if text.contains("took 70 packets, and 2 were left")),
        "{error:?}"
    );

    let error = tried("/nowhere/at-all", &json!({})).await.unwrap_err();
    assert!(
        matches!(&error, SendError::Misconfigured(text) if text.starts_with("spec.command: /nowhere/at-all can't be started")),
        "{error:?}"
    );

    let silent = script(dir.path(), "cat > /dev/null");
    let error = tried(&silent, &json!({ "answerTimeout": "1s" })).await.unwrap_err();
    let text = "no answer within 1 s, 2 packets are not taken; the program is ended";
    assert_eq!(error, SendError::Transient(text.to_owned()));
}
