//! What a real master sent: the recording in `e2e/`.

use crate::Measured;
use flate2::read::GzDecoder;
use master::{Assembler, Known, Recording};
use model::Event;
use std::io::Read as _;

/// The recording's files as text: frames, builds, collections.
///
/// # Errors
/// They can't be unpacked.
pub fn capture() -> Measured<[String; 3]> {
    Ok([
        text(include_bytes!("../../e2e/recording/ws.jsonl.gz"))?,
        text(include_bytes!("../../e2e/recording/rest_builds.jsonl.gz"))?,
        text(include_bytes!("../../e2e/recording/rest_collections.jsonl.gz"))?,
    ])
}

/// The recording.
///
/// # Errors
/// It can't be read.
pub fn recording() -> Measured<Recording> {
    let [frames, builds, collections] = capture()?;
    Ok(Recording::from_capture(&frames, &builds, &collections)?)
}

/// The events of one loop of it, in order.
///
/// # Errors
/// It can't be read.
pub fn events() -> Measured<Vec<Event>> {
    let recording = recording()?;
    let mut assembler = Assembler::new(Known::default());
    let events = recording.observations().flat_map(|o| assembler.observe(o.clone()).events);
    Ok(events.collect())
}

fn text(packed: &[u8]) -> Measured<String> {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text)?;
    Ok(text)
}
