//! Amounts of bytes as Kubernetes writes them: `512Mi`, `2G`, `1048576`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

pub(crate) const PATTERN: &str = "^[0-9]{1,9}(Ki|Mi|Gi|Ti|k|M|G|T)?$";
/// A plain number may have more digits than one with a unit: up to 1 PiB.
const MAX_NUMBER: u64 = 1 << 50;

const UNITS: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("T", 1_000_000_000_000),
    ("Gi", 1 << 30),
    ("G", 1_000_000_000),
    ("Mi", 1 << 20),
    ("M", 1_000_000),
    ("Ki", 1 << 10),
    ("k", 1_000),
];

/// An amount of bytes. In manifests a Kubernetes quantity: a whole number, with or without a
/// unit (`Ki`, `Mi`, `Gi`, `Ti`, `k`, `M`, `G`, `T`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Why a text is no [`Size`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no size: write a whole number of bytes, or one with Ki, Mi, Gi, Ti, k, M, G or T, such as \"512Mi\""
)]
pub struct SizeError(String);

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// The digits of a size, and how many bytes its unit has.
fn parts(text: &str) -> Option<(&str, u64)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    Some((number, scale))
}

/// What the rules' `quantity` makes of a size. Other rules bound it: there may be more digits than
/// in a [`Size`], and what is too large to count is larger than anything it is compared with.
pub(crate) fn quantity(text: &str) -> Option<i64> {
    let (number, scale) = parts(text)?;
    let bytes = number.parse::<u64>().ok()?.saturating_mul(scale);
    Some(i64::try_from(bytes).unwrap_or(i64::MAX))
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parts(text)
            .filter(|(number, _)| number.len() <= 9)
            .and_then(|(number, scale)| number.parse::<u64>().ok()?.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| SizeError(text.chars().take(32).collect()))
    }
}

/// The shortest form: `1Mi`, `2G`, `1500`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.into_iter().find(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(bytes) if bytes <= MAX_NUMBER => Ok(Self(bytes)),
            Form::Number(bytes) => Err(de::Error::custom(SizeError(bytes.to_string()))),
            Form::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": PATTERN,
            "maxLength": 11,
            "minimum": 0,
            "maximum": MAX_NUMBER,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Size;

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, bytes, written) in [
            ("1Mi", 1 << 20, "1Mi"),
            ("1048576", 1 << 20, "1Mi"),
            ("2G", 2_000_000_000, "2G"),
            ("10k", 10_000, "10k"),
            ("0", 0, "0"),
            ("7", 7, "7"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, written), "{text}");
        }
        assert_eq!(serde_json::from_str::<Size>("1024").unwrap(), Size::from_bytes(1024));
    }

    #[test]
    fn what_the_pattern_refuses_the_parser_refuses() {
        let pattern = regex::Regex::new(super::PATTERN).unwrap();
        for text in ["", "Mi", "1.5Gi", "1m", "1 Mi", "-1", "1mi", "1234567890", "é1"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
            assert!(!pattern.is_match(text), "{text}");
        }
        assert!(serde_json::from_str::<Size>("-1").is_err());
        assert!(serde_json::from_str::<Size>("18446744073709551615").is_err());
        assert!("999999999Ti".parse::<Size>().is_err(), "more than 64 bits");
    }
}
