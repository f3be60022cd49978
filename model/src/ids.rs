//! Keys of the master's tables, one type each, so that they can't be mixed up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// `buildid`: a build's key in the master's database (not its number).
    BuildId;
    /// `builderid`.
    BuilderId;
    /// `stepid`.
    StepId;
    /// `logid`.
    LogId;
    /// `changeid`: the number in `/changes/NN`.
    ChangeId;
    /// `bsid`.
    BuildsetId;
    /// `buildrequestid`.
    RequestId;
    /// `workerid`.
    WorkerId;
    /// `ssid`.
    SourceStampId;
}

/// A builder's name: any text, slashes and spaces included. Cheap to clone.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct BuilderName(Arc<str>);

impl BuilderName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BuilderName {
    fn default() -> Self {
        Self("".into())
    }
}

impl From<&str> for BuilderName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for BuilderName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl std::borrow::Borrow<str> for BuilderName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuilderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
