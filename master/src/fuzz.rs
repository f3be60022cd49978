//! What a master sends, changed: frames, REST bodies, cookies, recordings.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::{
    Assembler, Effects, Need, Observation, Recording,
    capture::Capture,
    client::session::{renew_at, session_cookie},
    frames::{self, Message},
    raw::{
        RawBuild, RawBuilder, RawBuildset, RawChange, RawConfig, RawLog, RawProject, RawRequest,
        RawStep, RawWorker, property_map, row, rows,
    },
};
use flate2::read::GzDecoder;
use fuzz::{bytes, check, json, text};
use model::{
    Build, Builder, Buildset, Change, Event, Log, Phase, Properties, Request, Step, Timestamp,
    Worker,
};
use proptest::collection::vec;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    sync::LazyLock,
};

const BUILDS: &str = include_str!("../tests/data/rest_builds.jsonl");
const COLLECTIONS: &str = include_str!("../tests/data/rest_collections.jsonl");

static FRAMES: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::new();
    let packed = include_bytes!("../tests/data/ws.jsonl.gz");
    GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    text
});
static CAPTURE: LazyLock<Capture> =
    LazyLock::new(|| Capture::read(&FRAMES, BUILDS, COLLECTIONS).unwrap());

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was seen stays the same when it is written and read again, as recordings do.
fn is_kept(seen: &Observation) {
    let text = serde_json::to_string(seen).unwrap();
    assert_eq!(&serde_json::from_str::<Observation>(&text).unwrap(), seen);
}

#[test]
fn any_text_of_a_websocket_is_a_message_or_garbage() {
    let answers = [r#"{"error":"invalid path format","code":400,"_id":1}"#];
    let corpus: Vec<&str> = FRAMES.lines().chain(answers).collect();
    check(3000, text(&corpus, &["\"k\":", "\"m\":", "builds/1/new", "\"_id\":7"]), |text| {
        match frames::read(&text) {
            Message::Observation(seen) => is_kept(&seen),
            Message::Garbage(why) => assert!(why.len() < 1000 + text.len(), "{}", why.len()),
            _ => {}
        }
    });
}

#[test]
fn frames_of_any_content_lead_the_assembler_to_no_harm() {
    let frames = lines(&FRAMES);
    let total = frames.len();
    let strange = vec((0..total, json(frames.clone())), 1..12);
    check(100, (0..total, 1..200_usize, strange), |(first, count, strange)| {
        let mut strange: BTreeMap<usize, Value> = strange.into_iter().collect();
        let mut world = Followed::default();
        for number in (first..total).take(count) {
            let frame = strange.remove(&number).unwrap_or_else(|| frames[number].clone());
            let key = frame.get("k").and_then(Value::as_str).unwrap_or_default();
            let body = frame.get("m").cloned().unwrap_or_default();
            if let Message::Observation(seen) = frames::event(key, body) {
                world.see(seen);
            }
        }
        world.see(Observation::Disconnected);
        world.see(Observation::CaughtUp);
        let text = serde_json::to_vec(world.assembler.world()).unwrap();
        serde_json::from_slice::<model::World>(&text).unwrap();
    });
}

/// An assembler whose questions are answered as the master would.
#[derive(Default)]
struct Followed {
    assembler: Assembler,
    ended: BTreeSet<u64>,
}

impl Followed {
    fn see(&mut self, seen: Observation) {
        is_kept(&seen);
        let mut seen = vec![seen];
        let mut asked = 0;
        while let Some(next) = seen.pop() {
            let Effects { events, needs, .. } = self.assembler.observe(next);
            asked += needs.len();
            assert!(asked < 5000, "one frame leads to {asked} questions");
            for event in events {
                let text = serde_json::to_vec(&event).unwrap();
                assert_eq!(serde_json::from_slice::<Event>(&text).unwrap(), event);
                let (kind, id, phase) = event.key();
                if (kind, phase) == ("build", Phase::Finished) {
                    assert!(self.ended.insert(id), "build {id} ends twice");
                }
            }
            seen.extend(needs.into_iter().map(|need: Need| CAPTURE.meet(need)));
        }
    }
}

#[test]
fn rows_of_any_content_are_read_or_refused_in_words() {
    fn all<R: DeserializeOwned, T: From<R> + Serialize + DeserializeOwned>(
        body: &Value,
        list: &str,
    ) {
        for raw in rows::<R>(body.clone(), list).unwrap_or_default() {
            let text = serde_json::to_string(&T::from(raw)).unwrap();
            serde_json::from_str::<T>(&text).unwrap();
        }
        if let Ok(raw) = row::<R>(body.clone()) {
            drop(T::from(raw));
        }
    }
    let mut bodies = Vec::new();
    for line in lines(COLLECTIONS) {
        bodies.extend(line.get("body").cloned());
    }
    for line in lines(BUILDS) {
        bodies.extend(line.as_object().unwrap().values().cloned());
    }
    check(600, json(bodies), |body| {
        all::<RawBuild, Build>(&body, "builds");
        all::<RawStep, Step>(&body, "steps");
        all::<RawLog, Log>(&body, "logs");
        all::<RawChange, Change>(&body, "changes");
        all::<RawBuildset, Buildset>(&body, "buildsets");
        all::<RawRequest, Request>(&body, "buildrequests");
        all::<RawWorker, Worker>(&body, "workers");
        for raw in rows::<RawBuilder>(body.clone(), "builders").unwrap_or_default() {
            let _: Builder = raw.with(&BTreeMap::new());
        }
        let _ = rows::<RawProject>(body.clone(), "projects");
        if let Ok(config) = row::<RawConfig>(body.clone()) {
            is_kept(&config.into());
        }
        let properties: Properties = property_map(body).unwrap_or_default();
        for (name, property) in &properties.0 {
            let length = property.0.to_string().len();
            assert!(length < 512 * 1024, "{name} holds {length} bytes");
        }
    });
}

#[test]
fn any_bytes_are_a_recording_or_an_error() {
    let real = Recording::from_capture(&FRAMES, BUILDS, COLLECTIONS).unwrap().write().unwrap();
    let mut plain = String::new();
    GzDecoder::new(real.as_slice()).read_to_string(&mut plain).unwrap();
    let few: String = plain.lines().take(60).map(|line| format!("{line}\n")).collect();
    check(100, bytes(&[real], &[]), |bytes| drop(Recording::read(&bytes)));
    check(300, bytes(&[few], &[]), |plain| {
        let (mut packed, speed) = (Vec::new(), flate2::Compression::fast());
        flate2::read::GzEncoder::new(plain.as_slice(), speed).read_to_end(&mut packed).unwrap();
        if let Ok(recording) = Recording::read(&packed) {
            let again = Recording::read(&recording.write().unwrap()).unwrap();
            assert!(recording.observations().eq(again.observations()));
            assert_eq!(recording.length(), again.length());
        }
    });
}

#[test]
fn any_cookie_of_a_login_is_taken_or_left() {
    let corpus = [
        "TWISTED_SESSION=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU0MTIzNzd9.x; Path=/; HttpOnly",
        "TWISTED_SECURE_SESSION_bb=x; Secure",
        "theme=dark; Path=/",
    ];
    const ENDS: &[&str] = &[
        "TWISTED_SESSION=",
        ".",
        ";",
        // {"exp": …}: the lowest and the highest number there is, and a fraction.
        ".eyJleHAiOi05MjIzMzcyMDM2ODU0Nzc1ODA4fQ.",
        ".eyJleHAiOjkyMjMzNzIwMzY4NTQ3NzU4MDd9.",
        ".eyJleHAiOjEuNX0.",
    ];
    check(2000, text(&corpus, ENDS), |set| {
        if let Some(cookie) = session_cookie(&set) {
            // Of one cookie only the pair goes back to the master.
            assert!(!cookie.contains(';') && cookie.contains('='), "{cookie:?}");
            let now = Timestamp(1_795_412_377);
            assert!(renew_at(cookie, now) > now, "{cookie:?}");
        }
    });
}
