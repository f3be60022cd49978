//! The recording itself: made of a capture, written and read.

use super::{RecordingError, shift::Spans};
use crate::{
    Known,
    assembler::{Assembler, Need, Observation},
    capture::Capture,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use model::{BuildId, LogId};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
};

/// The version of the format.
const FORMAT: u32 = 1;
/// Most bytes of a recording, unpacked.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What was seen of a master.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    /// The master's time of the first frame, seconds since 1970.
    pub start: i64,
    /// What a play begins with: the master, its builders and workers.
    pub setup: Vec<Observation>,
    /// What was seen, by milliseconds since the start.
    pub entries: Vec<(u64, Observation)>,
    pub spans: Spans,
    texts: BTreeMap<LogId, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Head { format: u32, start: i64, setup: Vec<Observation> },
    Seen(u64, Observation),
    Text(LogId, String),
}

impl Tape {
    /// Assembles a capture once, and keeps what was seen with the answers that were needed.
    pub(super) fn of(capture: Capture) -> Self {
        let mut setup: Vec<Observation> = capture.meta.iter().cloned().collect();
        setup.push(Observation::Builders(capture.builders.clone()));
        setup.push(Observation::Workers(capture.workers.clone()));
        let mut assembler = Assembler::new(Known::default());
        for seen in &setup {
            assembler.observe(seen.clone());
        }
        assembler.observe(Observation::CaughtUp);
        let mut entries = Vec::new();
        let mut last = 0;
        for (at, seen) in &capture.frames {
            last = last.max(*at);
            // Answers come with the tape: a hint would only ask for them again.
            if !matches!(seen, Observation::RequestHint(_) | Observation::BuildHint(_)) {
                record(&mut assembler, &capture, last, seen.clone(), &mut entries);
            }
        }
        // What the frames leave open, REST may have seen end.
        let open = capture.builds.keys().copied().map(Need::Build);
        let requests = assembler.unfinished_requests().into_iter().map(Need::Request);
        let sets = assembler.world().buildsets.keys().copied().map(Need::Requests);
        let ends: Vec<Need> = open.chain(requests).chain(sets).collect();
        for need in ends {
            let seen = capture.meet(need);
            if !matches!(seen, Observation::Absent(_)) {
                record(&mut assembler, &capture, last, seen, &mut entries);
            }
        }
        let endless = assembler.unfinished();
        entries.retain(|(_, seen)| build_of(seen).is_none_or(|id| !endless.contains(&id)));
        let spans = Spans::of(&entries);
        Self { start: capture.start, setup, entries, spans, texts: capture.texts }
    }

    pub(super) fn length(&self) -> u64 {
        self.entries.last().map_or(0, |(at, _)| *at)
    }

    pub(super) fn builds(&self) -> usize {
        let mut ids: Vec<BuildId> = self.entries.iter().filter_map(|(_, s)| build_of(s)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len()
    }

    /// The text of a log of any loop.
    pub(super) fn text(&self, log: LogId) -> Option<&str> {
        self.texts.get(&LogId(log.0 % self.spans.log.max(1))).map(String::as_str)
    }

    pub(super) fn write(&self) -> Result<Vec<u8>, RecordingError> {
        let error = |e: &dyn std::fmt::Display| RecordingError { line: 0, reason: e.to_string() };
        let head = Line::Head { format: FORMAT, start: self.start, setup: self.setup.clone() };
        let seen = self.entries.iter().map(|(at, seen)| Line::Seen(*at, seen.clone()));
        let texts = self.texts.iter().map(|(log, text)| Line::Text(*log, text.clone()));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        for line in std::iter::once(head).chain(seen).chain(texts) {
            serde_json::to_writer(&mut gzip, &line).map_err(|e| error(&e))?;
            gzip.write_all(b"\n").map_err(|e| error(&e))?;
        }
        gzip.finish().map_err(|e| error(&e))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, RecordingError> {
        let mut tape = Self::default();
        let unpacked = BufReader::new(GzDecoder::new(bytes).take(MAX_BYTES));
        let mut headed = false;
        for (line, text) in (1..).zip(unpacked.lines()) {
            let error = |reason: String| RecordingError { line, reason };
            let text = text.map_err(|e| error(e.to_string()))?;
            match serde_json::from_str(&text).map_err(|e| error(e.to_string()))? {
                Line::Head { format: FORMAT, start, setup } => {
                    (tape.start, tape.setup, headed) = (start, setup, true);
                }
                Line::Head { format, .. } => {
                    return Err(error(format!("format {format} is not known, only {FORMAT}")));
                }
                Line::Seen(at, seen) => tape.entries.push((at, seen)),
                Line::Text(log, text) => {
                    tape.texts.insert(log, text);
                }
            }
        }
        if !headed {
            return Err(RecordingError { line: 1, reason: "it has no head".to_owned() });
        }
        tape.spans = Spans::of(&tape.entries);
        Ok(tape)
    }
}

/// Feeds the assembler and keeps what it saw, and the answers that it needed then.
fn record(
    assembler: &mut Assembler,
    capture: &Capture,
    at: u64,
    seen: Observation,
    entries: &mut Vec<(u64, Observation)>,
) {
    let mut seen = vec![seen];
    while let Some(next) = seen.pop() {
        let needs = assembler.observe(next.clone()).needs;
        // What was before depends on the loop: it is not part of the tape.
        if !matches!(next, Observation::Previous(..)) {
            entries.push((at, next));
        }
        seen.extend(needs.into_iter().rev().map(|need| capture.meet(need)));
    }
}

/// The build that something is about.
pub(super) fn build_of(seen: &Observation) -> Option<BuildId> {
    match seen {
        Observation::Build { build, .. } | Observation::Whole(build) => Some(build.id),
        Observation::Properties(id, _)
        | Observation::Step(id, _)
        | Observation::Changes(id, _)
        | Observation::StampChanges(id, _)
        | Observation::BuildHint(id) => Some(*id),
        _ => None,
    }
}
