//! Plays a recording: first as history, then live, for ever.

use super::{Recording, shift::Shift};
use crate::{
    Batch, Known, MasterState, Sink, SinkError, StateKind,
    assembler::{Assembler, Need, Observation},
};
use model::{Build, Event, Live, Outcome, Timestamp, Waiting};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Most observations of one batch.
const BATCH: usize = 256;
/// What is due within this time is committed together.
const LINGER: Duration = Duration::from_millis(25);
/// Time between two loops.
const REST: Duration = Duration::from_secs(5);
/// Time between two loops of history.
const PAUSE: i64 = 25 * 60;
/// Wait after a failed commit.
const RETRY: Duration = Duration::from_secs(1);

/// How a recording is played.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayOptions {
    /// How many loops are history when the play begins, spread over the hours before.
    pub preload_loops: u32,
    /// How much faster than it was recorded; one of less than [`PlayOptions::SLOWEST`] is taken for
    /// that.
    pub speed: f64,
}

impl PlayOptions {
    /// A tape of an hour takes four days then.
    pub const SLOWEST: f64 = 0.01;
}

impl Default for PlayOptions {
    fn default() -> Self {
        Self { preload_loops: 6, speed: 1.0 }
    }
}

/// Plays a recording in a loop until `cancel`, its keys and times moved on for each loop.
pub async fn play(
    recording: Recording,
    options: PlayOptions,
    mut sink: impl Sink,
    cancel: CancellationToken,
) {
    loop {
        let player = Player::new(&recording, &options, &mut sink);
        let end = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            end = player.run() => end,
        };
        match end {
            Ok(()) | Err(SinkError::Closed) => return,
            Err(error) => {
                sink.state(MasterState::now(StateKind::Halted, error.to_string()));
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = sleep(RETRY) => {}
                }
            }
        }
    }
}

struct Player<'a, S> {
    recording: &'a Recording,
    speed: f64,
    preload: u32,
    sink: &'a mut S,
    assembler: Assembler,
    fresh: bool,
    batch: Batch,
    live: Vec<Live>,
    size: usize,
}

impl<'a, S: Sink> Player<'a, S> {
    fn new(recording: &'a Recording, options: &PlayOptions, sink: &'a mut S) -> Self {
        let Known { mut world, database, fingerprints, fresh } = sink.known();
        // Each loop has keys of its own: of an earlier one nothing more comes.
        world.waiting = Waiting::default();
        // Of NaN and a number, `max` gives the number.
        let speed = options.speed.max(PlayOptions::SLOWEST);
        Self {
            recording,
            speed,
            preload: options.preload_loops,
            sink,
            assembler: Assembler::new(Known { world, database, fingerprints, fresh }),
            fresh,
            batch: Batch::default(),
            live: Vec::new(),
            size: 0,
        }
    }

    /// Plays for ever; ends only when the sink fails, or there is nothing to play.
    async fn run(mut self) -> Result<(), SinkError> {
        let tape = self.recording.0.clone();
        tape.setup.iter().for_each(|seen| self.see(seen.clone()));
        self.see(Observation::CaughtUp);
        self.end_what_is_open();
        self.flush().await?;
        if self.fresh {
            self.preload().await?;
        }
        let text = "playing a recording of a master";
        self.sink.live(Live::Master { connected: true, text: text.to_owned() });
        self.sink.state(MasterState::now(StateKind::Live, text));
        if tape.entries.is_empty() {
            return Ok(());
        }
        loop {
            let begin = Instant::now();
            let shift = self.shift(Timestamp::now().0, self.speed);
            for (at, seen) in &tape.entries {
                let due = begin + Duration::from_millis(*at).div_f64(self.speed);
                if self.size >= BATCH || due > Instant::now() + LINGER {
                    self.flush().await?;
                    sleep_until(due).await;
                }
                self.see(shift.apply(seen));
            }
            self.flush().await?;
            sleep(REST).await;
        }
    }

    /// The next loop, begun at a time. Its number follows from the keys in the journal.
    fn shift(&self, to: i64, speed: f64) -> Shift<'a> {
        let tape = &self.recording.0;
        let highest = self.assembler.world().highest;
        // A play may have ended between a change and the build that it led to.
        let turn = [
            (highest.build.0, tape.spans.build),
            (highest.change.0, tape.spans.change),
            (highest.buildset.0, tape.spans.buildset),
            (highest.request.0, tape.spans.request),
        ]
        .into_iter()
        .filter(|(highest, span)| *highest > 0 && *span > 0)
        .map(|(highest, span)| highest / span + 1)
        .max()
        .unwrap_or(0);
        Shift { spans: &tape.spans, turn, from: tape.start, to, speed }
    }

    /// Builds that an earlier play left open, as a master leaves them that was killed.
    fn end_what_is_open(&mut self) {
        let now = Timestamp::now();
        for id in self.assembler.unfinished() {
            if let Some(open) = self.assembler.world().open.get(&id) {
                let end = Build {
                    complete_at: Some(now),
                    outcome: Some(Outcome::Retry),
                    text: "build interrupted".to_owned(),
                    ..open.clone()
                };
                self.see(Observation::Whole(Box::new(end)));
            }
        }
        let world = self.assembler.world();
        let sets: Vec<_> = world.buildsets.keys().copied().collect();
        let mut requests: Vec<_> = world.requests.values().cloned().collect();
        for request in &mut requests {
            (request.complete_at, request.outcome) = (Some(now), Some(Outcome::Retry));
        }
        for id in sets {
            let of = requests.iter().filter(|r| r.buildset == id).cloned().collect();
            self.see(Observation::Requests(id, of));
        }
    }

    /// Plays loops into the hours before: their builds and changes are history.
    async fn preload(&mut self) -> Result<(), SinkError> {
        let tape = self.recording.0.clone();
        #[allow(clippy::cast_possible_wrap, reason = "a tape is no 292 million years long")]
        let spacing = tape.length() as i64 / 1000 + PAUSE;
        let now = Timestamp::now().0;
        for ago in (1..=i64::from(self.preload)).rev() {
            let shift = self.shift(now - ago * spacing, 1.0);
            for (_, seen) in &tape.entries {
                self.see(shift.apply(seen));
            }
            for event in std::mem::take(&mut self.batch.events) {
                match event {
                    Event::BuildFinished { build } => self.batch.history.push(*build),
                    Event::ChangeAdded { change } => self.batch.history_changes.push(*change),
                    _ => {}
                }
            }
            self.live.clear();
            self.flush().await?;
            // A long history must not keep others from running.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn see(&mut self, seen: Observation) {
        let mut queue = VecDeque::from([seen]);
        while let Some(next) = queue.pop_front() {
            let effects = self.assembler.observe(next);
            self.batch.events.extend(effects.events);
            self.batch.dirty.merge(effects.dirty);
            self.live.extend(effects.live);
            self.size += 1;
            // Answers are on the tape, but for what was before it: nothing.
            let before = effects.needs.into_iter().filter(|n| matches!(n, Need::Previous(..)));
            queue.extend(before.map(Observation::Absent));
        }
    }

    async fn flush(&mut self) -> Result<(), SinkError> {
        self.size = 0;
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            self.sink.commit(batch, self.assembler.world()).await?;
        }
        for live in std::mem::take(&mut self.live) {
            if let Some(live) = crate::assembler::present(self.assembler.world(), live) {
                self.sink.live(live);
            }
        }
        Ok(())
    }
}
