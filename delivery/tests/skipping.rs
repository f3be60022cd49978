//! What is not sent costs what is sent no waiting.
#![allow(clippy::unwrap_used, reason = "tests")]

use delivery::{
    Acks, BatchOptions, BatchTarget, ComposeError, Metrics, SendError, Source, Taken, compliance,
    run_batch,
};
use feed::{Done, StateChange};
use model::{Position, Record};
use prometheus::Registry;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A journal that is slow for ever to say that what was skipped is done: those of builder 1.
struct Journal {
    records: VecDeque<Arc<Record>>,
    acks: Slow,
}

#[derive(Clone, Default)]
struct Slow {
    skipped: Arc<Mutex<Vec<Position>>>,
    asked: watch::Sender<usize>,
}

impl Source for Journal {
    type Acks = Slow;

    async fn next(&mut self) -> Result<Arc<Record>, Infallible> {
        match self.records.pop_front() {
            Some(record) => Ok(record),
            None => pending().await,
        }
    }

    fn acks(&self) -> Slow {
        self.acks.clone()
    }
}

impl Acks for Slow {
    type Error = Infallible;

    async fn done(&self, position: Position, done: Done) -> Result<(), Infallible> {
        if done.change.is_none() {
            self.skipped.lock().unwrap().push(position);
            self.asked.send_modify(|asked| *asked += 1);
            pending::<()>().await;
        }
        Ok(())
    }

    async fn save(&self, _: StateChange) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_state(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn backlog(&self) -> u64 {
        0
    }
}

/// Sends what is of builder 2.
struct Second(watch::Sender<Vec<u64>>);

impl BatchTarget for Second {
    type Item = u64;
    type State = ();

    fn kind(&self) -> &'static str {
        "second"
    }

    fn decide(&self, record: &Record) -> bool {
        record.event.builder().is_some_and(|builder| builder.0 == 2)
    }

    fn load(&self, _: Option<&[u8]>) -> Result<(), String> {
        Ok(())
    }

    fn save(&self, (): &()) -> Vec<u8> {
        Vec::new()
    }

    fn compose(&self, (): &mut (), record: &Record) -> Result<u64, ComposeError> {
        Ok(record.position.seq)
    }

    fn size(&self, _: &u64) -> usize {
        8
    }

    async fn send(&self, items: &[&u64]) -> Result<Taken, SendError> {
        self.0.send_modify(|sent| sent.extend(items.iter().copied()));
        Ok(Taken::all(items.len()))
    }
}

#[tokio::test]
async fn records_that_are_not_selected_do_not_hold_up_those_that_are() {
    let records = compliance::records(2, 20);
    let wanted = |builder: u64| {
        let of = records.iter().filter(move |r| r.event.builder().is_some_and(|b| b.0 == builder));
        of.map(|record| record.position.seq).collect::<Vec<_>>()
    };
    let acks = Slow::default();
    let journal =
        Journal { records: records.iter().cloned().map(Arc::new).collect(), acks: acks.clone() };
    let (sent, mut taken) = watch::channel(Vec::new());
    let cancel = CancellationToken::new();
    let metrics = Metrics::register(&Registry::new(), "main").unwrap();
    let options = BatchOptions { delay: Duration::ZERO, ..BatchOptions::new("second") };
    let run = tokio::spawn(run_batch(journal, Second(sent), options, metrics, cancel.clone()));

    let all = timeout(PATIENCE, taken.wait_for(|sent| sent.len() == 20)).await;
    assert_eq!(*all.unwrap().unwrap(), wanted(2), "in their order");
    let mut asked = acks.asked.subscribe();
    timeout(PATIENCE, asked.wait_for(|asked| *asked == 20)).await.unwrap().unwrap();
    let mut skipped: Vec<u64> = acks.skipped.lock().unwrap().iter().map(|p| p.seq).collect();
    skipped.sort_unstable();
    assert_eq!(skipped, wanted(1), "the others are acknowledged as well");
    cancel.cancel();
    timeout(PATIENCE, run).await.unwrap().unwrap().unwrap();
}
