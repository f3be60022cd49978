//! What a real master sent: the recording in `e2e/`.

use flate2::read::GzDecoder;
use master::{Assembler, Known, Recording};
use model::Event;
use std::io::Read as _;

/// The recording's files as text: frames, builds, collections.
pub fn capture() -> [String; 3] {
    [
        text(include_bytes!("../../e2e/recording/ws.jsonl.gz")),
        text(include_bytes!("../../e2e/recording/rest_builds.jsonl.gz")),
        text(include_bytes!("../../e2e/recording/rest_collections.jsonl.gz")),
    ]
}

/// The recording.
pub fn recording() -> Recording {
    let [frames, builds, collections] = capture();
    Recording::from_capture(&frames, &builds, &collections).expect("it is read")
}

/// The events of one loop of it, in order.
pub fn events() -> Vec<Event> {
    let recording = recording();
    let mut assembler = Assembler::new(Known::default());
    recording.observations().flat_map(|seen| assembler.observe(seen.clone()).events).collect()
}

fn text(packed: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).expect("the recording is whole");
    text
}
