//! What the websocket says, turned into observations.
//!
//! A frame is `{"k": "builds/1/finished", "m": {…}}`; answers to commands carry `_id` and
//! `code`. Source: <https://docs.buildbot.net/4.3.0/developer/www-server.html>.

use crate::{
    assembler::Observation,
    raw::{
        RawBuild, RawBuildset, RawChange, RawLog, RawRequest, RawStep, RawWorker, property_map, row,
    },
};
use model::{BuildId, RequestId, StepId};
use serde::Deserialize;
use serde_json::Value;

/// A message of the master.
#[derive(Debug)]
pub(crate) enum Message {
    /// The answer to a command: its number, and why it was refused.
    Answer { id: u64, refused: Option<String> },
    /// Something that the assembler takes.
    Observation(Observation),
    /// Builders came or went: the list is to be read, once it is settled.
    Builders,
    /// Nothing of interest.
    Other,
    /// Not to be understood.
    Garbage(String),
}

impl Message {
    /// All that [`Message::kind`] gives.
    pub(crate) const KINDS: [&'static str; 11] = [
        "answers",
        "builders",
        "buildrequests",
        "builds",
        "buildsets",
        "changes",
        "garbage",
        "logs",
        "other",
        "steps",
        "workers",
    ];

    /// What it is about, as one of a few words: the resource of an event.
    pub(crate) fn kind(&self) -> &'static str {
        use Observation as O;
        match self {
            Self::Answer { .. } => "answers",
            Self::Builders | Self::Observation(O::Builders(_)) => "builders",
            Self::Garbage(_) => "garbage",
            Self::Observation(seen) => match seen {
                O::Build { .. } | O::BuildHint(_) | O::Properties(..) => "builds",
                O::Step(..) => "steps",
                O::Log(..) => "logs",
                O::Change(_) => "changes",
                O::Buildset { .. } => "buildsets",
                O::Request(_) | O::RequestHint(_) => "buildrequests",
                O::Worker(_) | O::Workers(_) => "workers",
                _ => "other",
            },
            Self::Other => "other",
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    k: Option<String>,
    #[serde(default)]
    m: Value,
    #[serde(default, rename = "_id")]
    id: Option<u64>,
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    error: Option<String>,
}

/// Reads a message.
pub(crate) fn read(text: &str) -> Message {
    let wire: Wire = match serde_json::from_str(text) {
        Ok(wire) => wire,
        Err(error) => return Message::Garbage(error.to_string()),
    };
    match (wire.k, wire.id) {
        (Some(key), _) => event(&key, wire.m),
        (None, Some(id)) => {
            let refused = (wire.code != Some(200))
                .then(|| wire.error.unwrap_or_else(|| format!("code {:?}", wire.code)));
            Message::Answer { id, refused }
        }
        (None, None) => Message::Garbage("neither an event nor an answer".to_owned()),
    }
}

/// Reads an event by its routing key.
pub(crate) fn event(key: &str, body: Value) -> Message {
    let parts: Vec<&str> = key.split('/').collect();
    let id = parts.get(1).and_then(|id| id.parse::<u64>().ok());
    let null = body.is_null();
    let read = match (parts.first().copied(), id, &parts[2.min(parts.len())..]) {
        (Some("builds"), Some(id), ["new" | "update" | "finished"]) if null => {
            Ok(Observation::BuildHint(BuildId(id)))
        }
        (Some("buildrequests"), Some(id), _) if null => Ok(Observation::RequestHint(RequestId(id))),
        (Some("builds"), _, ["new" | "update" | "finished"]) => row::<RawBuild>(body)
            .map(|raw| Observation::Build { build: Box::new(raw.into()), frame: true }),
        (Some("builds"), Some(id), ["properties", "update"]) => {
            property_map(body).map(|properties| Observation::Properties(BuildId(id), properties))
        }
        (Some("steps"), ..) => row::<RawStep>(body)
            .map(|raw| Observation::Step(BuildId(raw.buildid), Box::new(raw.into()))),
        (Some("logs"), _, [what]) => {
            let appended = *what == "append";
            row::<RawLog>(body)
                .map(|raw| Observation::Log(StepId(raw.stepid), raw.into(), appended))
        }
        (Some("changes"), ..) => {
            row::<RawChange>(body).map(|raw| Observation::Change(Box::new(raw.into())))
        }
        (Some("buildsets"), ..) => row::<RawBuildset>(body).map(|raw| Observation::Buildset {
            buildset: Box::new(raw.into()),
            whole: false,
            frame: true,
        }),
        (Some("buildrequests"), ..) => {
            row::<RawRequest>(body).map(|raw| Observation::Request(raw.into()))
        }
        (Some("workers"), _, ["connected" | "disconnected" | "state_updated"]) => {
            row::<RawWorker>(body).map(|raw| Observation::Worker(raw.into()))
        }
        (Some("builders"), ..) => return Message::Builders,
        _ => return Message::Other,
    };
    match read {
        Ok(observation) => Message::Observation(observation),
        Err(error) => Message::Garbage(format!("{key}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::{Message, read};
    use crate::assembler::Observation;
    use model::{BuildId, RequestId};

    #[test]
    fn an_event_without_a_body_is_a_hint_to_ask() {
        let cases = [
            (
                r#"{"k":"buildrequests/24/cancel","m":null}"#,
                Observation::RequestHint(RequestId(24)),
            ),
            (r#"{"k":"builds/7/finished","m":null}"#, Observation::BuildHint(BuildId(7))),
        ];
        for (text, wanted) in cases {
            match read(text) {
                Message::Observation(read) => assert_eq!(read, wanted),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn garbage_is_told_as_garbage_and_never_panics() {
        for text in [
            "",
            "[]",
            "null",
            "7",
            "{}",
            r#"{"k":7}"#,
            r#"{"k":"builds/1/new","m":{"buildid":"x"}}"#,
            r#"{"k":"changes/1/new","m":null}"#,
            r#"{"k":"steps/1/new","m":[]}"#,
            r#"{"k":"builds/1/properties/update","m":7}"#,
        ] {
            assert!(matches!(read(text), Message::Garbage(_)), "{text}");
        }
        for text in [r#"{"k":""}"#, r#"{"k":"///"}"#, r#"{"k":"control/builds/1/stop","m":{}}"#] {
            assert!(matches!(read(text), Message::Other), "{text}");
        }
    }

    #[test]
    fn a_refused_command_says_why() {
        let text = r#"{"error":"invalid path format","code":400,"_id":1}"#;
        let Message::Answer { id: 1, refused: Some(why) } = read(text) else { panic!() };
        assert!(why.contains("invalid path"));
    }
}
