//! Lengths of time as people write them: `30d`, `12h`, `1h30m`, `90s`, `250ms`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// What the schema accepts. Six digits a part keep every sum far below `u64` milliseconds.
pub(crate) const PATTERN: &str = "^([0-9]{1,6}(ms|s|m|h|d|w))+$";
const MAX_LENGTH: u32 = 32;
/// The largest number with a unit: six digits.
const MOST: u64 = 999_999;

/// Units in milliseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A length of time, in whole milliseconds. In manifests a string: numbers with a unit
/// (`ms`, `s`, `m`, `h`, `d`, `w`), one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// Why a text is no [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no length of time: write numbers with units ms, s, m, h, d or w, such as \"90s\" or \"1h30m\""
)]
pub struct DurationError(String);

impl Duration {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DurationError(text.chars().take(MAX_LENGTH as usize).collect());
        if text.is_empty() || text.len() > MAX_LENGTH as usize {
            return Err(error());
        }
        let (mut rest, mut sum) = (text, 0_u64);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
            let (number, unit) = rest[..digits + letters].split_at(digits);
            let scale = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?.1;
            if digits > 6 {
                return Err(error());
            }
            sum += number.parse::<u64>().map_err(|_| error())? * scale;
            rest = &rest[digits + letters..];
        }
        Ok(Self(std::time::Duration::from_millis(sum)))
    }
}

/// The shortest form with one unit, `90s`, `12h`, `30d`; in several, `17d500ms`, where one would need more
/// digits than are read.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let (unit, scale) =
            UNITS.into_iter().find(|(_, scale)| milliseconds % scale == 0).unwrap_or(("ms", 1));
        if milliseconds / scale <= MOST {
            return write!(f, "{}{unit}", milliseconds / scale);
        }
        let (mut text, mut rest) = (String::new(), milliseconds);
        for (unit, scale) in UNITS {
            while rest >= scale {
                let number = (rest / scale).min(MOST);
                let part = format!("{number}{unit}");
                // Of tens of thousands of years, the last seconds don't matter.
                if text.len() + part.len() > MAX_LENGTH as usize {
                    return f.write_str(&text);
                }
                text += &part;
                rest -= number * scale;
            }
        }
        f.write_str(&text)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Duration, MAX_LENGTH};

    #[test]
    fn what_one_unit_has_too_few_digits_for_is_written_in_several() {
        for text in ["17d500ms", "16m40s1ms", "999999w6d", "1000d1s"] {
            let read: Duration = text.parse().unwrap();
            assert_eq!(read.to_string().parse::<Duration>().unwrap(), read, "{text}: {read}");
            assert!(read.to_string().len() <= MAX_LENGTH as usize, "{read}");
        }
        assert_eq!("17d500ms".parse::<Duration>().unwrap().to_string(), "2w3d500ms");
    }

    #[test]
    fn durations_are_read_with_every_unit_and_written_with_one() {
        for (text, seconds, written) in [
            ("90s", 90, "90s"),
            ("1h30m", 5400, "90m"),
            ("30d", 30 * 86400, "30d"),
            ("1w", 604_800, "1w"),
            ("0s", 0, "0s"),
            ("999999w", 999_999 * 604_800, "999999w"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.get().as_secs(), seconds, "{text}");
            assert_eq!(duration.to_string(), written);
        }
        assert_eq!("250ms".parse::<Duration>().unwrap().get().as_millis(), 250);
    }

    #[test]
    fn what_the_pattern_refuses_the_parser_refuses() {
        let pattern = regex::Regex::new(super::PATTERN).unwrap();
        for text in ["", "5", "s", "5 s", "-5s", "1.5h", "5S", "1234567s", "5y", "é", "3mé"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
            assert!(!pattern.is_match(text), "{text}");
        }
    }
}
