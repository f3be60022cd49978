//! Values of the wire that are written as text.

use model::Position;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// Where a reader without a place of its own stands: `1.42`, or `1.42~1f2e.7`, whose second part
/// says what the reader has heard of the past. With the first form, builds and changes of the
/// past that were told meanwhile are not told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The last record that was read.
    pub position: Position,
    /// What was told of the past.
    pub past: Option<Past>,
}

/// How much a reader has heard of builds and changes of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Tells apart the feed's processes.
    pub process: u32,
    /// How often it had told of the past.
    pub told: u64,
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self { position, past: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position.fmt(f)?;
        match self.past {
            Some(Past { process, told }) => write!(f, "~{process:x}.{told}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((position, past)) = text.split_once('~') else {
            return Ok(Self { position: text.parse()?, past: None });
        };
        let parse = || {
            let (process, told) = past.split_once('.')?;
            let process = u32::from_str_radix(process, 16).ok()?;
            Some(Past { process, told: told.parse().ok()? })
        };
        let past = parse().ok_or("a place is EPOCH.NUMBER, or the id of an event as it came")?;
        Ok(Self { position: position.parse()?, past: Some(past) })
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Place {
    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+\\.[0-9]+(~[0-9a-f]+\\.[0-9]+)?$",
            "description": "A position, `EPOCH.NUMBER`, or the id of an event as it came.",
        })
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A position in a query: as text, `1.42`.
pub(super) mod position {
    use model::Position;
    use schemars::{Schema, SchemaGenerator, json_schema};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::http) fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "pattern": "^[0-9]+\\.[0-9]+$" })
    }

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::http) fn serialize<S: Serializer>(
        position: &Option<Position>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match position {
            Some(position) => serializer.collect_str(position),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::http) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Position>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// Bytes in standard Base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl JsonSchema for Base64 {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "description": "Bytes in standard Base64.",
        })
    }
}

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}
