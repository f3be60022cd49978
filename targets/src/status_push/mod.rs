//! `StatusPush`: events in batches for a program, as Buildbot 0.8's `StatusPush` gave them to a
//! callback (row G06).

mod send;

use crate::{
    About, BuildError, Preview,
    packets::{Maker, Packets, Settings, State},
};
use crds::StatusPushSpec;
use delivery::{BatchOptions, BatchTarget, ComposeError, SendError, Taken};
use model::{Build, Record};
use send::Program;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes that are written to the program before it must have taken something: what waits for it is
/// held in memory.
const BYTES: usize = 4 << 20;

/// The target of one `StatusPush`.
#[derive(Debug)]
pub struct StatusPush {
    maker: Maker,
    program: Program,
    options: BatchOptions,
}

impl StatusPush {
    /// Makes the target; the program is started when there is something for it.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn new(spec: &StatusPushSpec, about: watch::Receiver<About>) -> Result<Self, BuildError> {
        let settings = Settings {
            selection: spec.selection(),
            black_list: spec.black_list.iter().cloned().collect(),
            all: false,
            filter: spec.filter,
            // A packet is a line.
            debug: false,
        };
        Ok(Self {
            maker: Maker::new(&settings, about),
            program: Program::new(&spec.command, spec.answer_timeout.get())?,
            options: driven(spec),
        })
    }

    /// How its settings want it driven.
    pub fn options(&self, name: &str) -> BatchOptions {
        let state = BatchOptions::new(name).state;
        BatchOptions { name: name.to_owned(), state, ..self.options.clone() }
    }

    /// The packets that a finished build would become, numbered from 1.
    pub fn preview(&self, build: &Build) -> Vec<Preview> {
        self.maker.preview(build, &self.program.words())
    }
}

fn driven(spec: &StatusPushSpec) -> BatchOptions {
    let items = usize::try_from(spec.chunk_size).unwrap_or(usize::MAX).max(1);
    let answers = spec.chunk_size.saturating_add(1);
    BatchOptions {
        max_items: items,
        max_bytes: BYTES,
        delay: spec.buffer_delay.get(),
        retry: spec.retry_delay.get(),
        window: items.clamp(256, 1024),
        catch_up: spec.catch_up.as_ref().and_then(|c| c.max_age).map(Into::into),
        // The program has its time for each answer; this only bounds them all.
        attempt_timeout: spec
            .answer_timeout
            .get()
            .saturating_mul(answers)
            .max(Duration::from_secs(1)),
        ..BatchOptions::new("")
    }
}

impl BatchTarget for StatusPush {
    type Item = Packets;
    type State = State;

    fn kind(&self) -> &'static str {
        crate::Kind::StatusPush.word()
    }

    fn decide(&self, record: &Record) -> bool {
        self.maker.wants(record)
    }

    fn load(&self, bytes: Option<&[u8]>) -> Result<State, String> {
        State::load(bytes)
    }

    fn save(&self, state: &State) -> Vec<u8> {
        state.save()
    }

    fn compose(&self, state: &mut State, record: &Record) -> Result<Packets, ComposeError> {
        Ok(self.maker.packets(state, record))
    }

    fn size(&self, item: &Packets) -> usize {
        // Each with its line's end.
        item.texts().map(|text| text.len() + 1).sum()
    }

    fn count(&self, item: &Packets) -> usize {
        item.count()
    }

    async fn send(&self, items: &[&Packets]) -> Result<Taken, SendError> {
        self.program.give(items).await
    }
}
