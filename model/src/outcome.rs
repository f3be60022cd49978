//! How a build, a step or a request ended.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Buildbot's result codes 0 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// 0: every step passed.
    Success,
    /// 1: passed, with warnings.
    Warnings,
    /// 2: a step failed.
    Failure,
    /// 3: not run.
    Skipped,
    /// 4: the build itself broke.
    Exception,
    /// 5: broke, and is tried again.
    Retry,
    /// 6: stopped by somebody.
    Cancelled,
}

impl Outcome {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Warnings,
        Self::Failure,
        Self::Skipped,
        Self::Exception,
        Self::Retry,
        Self::Cancelled,
    ];

    /// The outcome of a result code; `None` for a code that Buildbot does not have
    /// (requests and buildsets have -1 while they wait).
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|i| Self::ALL.get(i)).copied()
    }

    /// The result code, 0 to 6.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Buildbot's word: `success`, `warnings`, `failure`, `skipped`, `exception`, `retry`, `cancelled`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Warnings => "warnings",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
            Self::Exception => "exception",
            Self::Retry => "retry",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

impl JsonSchema for Outcome {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "minimum": 0,
            "maximum": 6,
            "description": "Buildbot's result code: 0 success, 1 warnings, 2 failure, 3 skipped, \
                            4 exception, 5 retry, 6 cancelled.",
        })
    }
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = i64::deserialize(deserializer)?;
        Self::from_code(code)
            .ok_or_else(|| serde::de::Error::custom(format!("{code} is no result code (0 to 6)")))
    }
}
