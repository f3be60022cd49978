//! What came, by kind and by whose it is.

use serde_json::Value;
use std::{collections::BTreeMap, time::SystemTime};

/// A builder's key, and a build's number.
pub type Build = (u64, u64);
/// When the message about each build's end was there, by kind and by whose it is.
pub type Arrivals = BTreeMap<(&'static str, &'static str), BTreeMap<Build, SystemTime>>;

pub const THEIRS: &str = "the master's";
pub const OURS: &str = "ours";
pub const AT_ONCE: &str = "ours, bufferDelay 0s";

/// The rows of the tables.
pub const KINDS: [(&str, &str); 9] = [
    ("mail", THEIRS),
    ("mail", OURS),
    ("push", THEIRS),
    ("push", OURS),
    ("push", AT_ONCE),
    ("GitHub status", THEIRS),
    ("GitHub status", OURS),
    ("Gerrit review", THEIRS),
    ("Gerrit review", OURS),
];

/// The build whose page at the master a text names.
pub fn named(text: &str) -> Option<Build> {
    let number = |text: &str| -> Option<u64> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text.get(..digits)?.parse().ok()
    };
    let rest = text.split("#/builders/").nth(1)?;
    let (builder, build) = rest.split_once("/builds/")?;
    Some((number(builder)?, number(build)?))
}

/// The builds whose ends a push tells of; builders are named `quick-N`, and `keys` has their keys.
pub fn pushed(path: &str, body: &[u8], keys: &BTreeMap<String, u64>) -> Vec<Build> {
    let build = |build: &Value, builder: &Value| {
        Some((*keys.get(builder.as_str()?)?, build["number"].as_u64()?))
    };
    if path == "/theirs" {
        let packet: Value = serde_json::from_slice(body).unwrap_or_default();
        let ended = packet["complete"] == true;
        let found = build(&packet, &packet["builder"]["name"]).filter(|_| ended);
        return found.into_iter().collect();
    }
    let form = url::form_urlencoded::parse(body);
    let packets = form.into_iter().find(|(name, _)| name == "packets");
    let packets: Vec<Value> =
        packets.and_then(|(_, json)| serde_json::from_str(&json).ok()).unwrap_or_default();
    let ends = packets.iter().filter(|packet| packet["event"] == "buildFinished");
    ends.filter_map(|packet| {
        let told = &packet["payload"]["build"];
        build(told, &told["builderName"])
    })
    .collect()
}
