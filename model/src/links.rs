//! Addresses of pages about builds, for messages.

use crate::{Build, BuilderName, Step};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Percent-encodes text as one path segment: `unit win/32` is `unit%20win%2F32`.
pub fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// A name as one segment of the address of a page. Browsers take `.` and `..` for steps within the
/// address, however they are encoded, so those have a `~` before them; [`name_of`] takes it off.
pub fn name_segment(name: &str) -> impl std::fmt::Display + '_ {
    let tilde = if is_step(name) { "~" } else { "" };
    std::fmt::from_fn(move |f| write!(f, "{tilde}{}", segment(name)))
}

/// The name that a decoded segment stands for.
pub fn name_of(segment: &str) -> &str {
    segment.strip_prefix('~').filter(|name| is_step(name)).unwrap_or(segment)
}

/// Whether a name is a step within an address, or reads like one that was made a segment.
fn is_step(name: &str) -> bool {
    matches!(name.trim_start_matches('~'), "." | "..")
}

/// Makes addresses below a WebStatus, or below the master's own pages where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "base", rename_all = "camelCase")]
pub enum Links {
    /// A WebStatus at this address (ends in `/`): `/builders/NAME/builds/NUM`.
    WebStatus(String),
    /// The master's own pages at this address (ends in `/`): `#/builders/ID/builds/NUM`.
    Master(String),
}

impl Links {
    fn slash(base: &str) -> String {
        format!("{}/", base.trim_end_matches('/'))
    }

    /// Below a WebStatus.
    pub fn web_status(base: &str) -> Self {
        Self::WebStatus(Self::slash(base))
    }

    /// Below the master's own pages.
    pub fn master(base: &str) -> Self {
        Self::Master(Self::slash(base))
    }

    /// The main page.
    pub fn base(&self) -> &str {
        match self {
            Self::WebStatus(base) | Self::Master(base) => base,
        }
    }

    /// A builder's page.
    pub fn builder(&self, id: crate::BuilderId, name: &BuilderName) -> String {
        match self {
            Self::WebStatus(base) => format!("{base}builders/{}", name_segment(name.as_str())),
            Self::Master(base) => format!("{base}#/builders/{id}"),
        }
    }

    /// A build's page.
    pub fn build(&self, build: &Build) -> String {
        format!("{}/builds/{}", self.builder(build.builder.id, &build.builder.name), build.number)
    }

    /// The page of a step's log; the step's own part of the build's page on a master.
    pub fn log(&self, build: &Build, step: &Step, log: &crate::Log) -> String {
        let build = self.build(build);
        match self {
            Self::WebStatus(_) => {
                format!(
                    "{build}/steps/{}/logs/{}",
                    name_segment(&step.name),
                    name_segment(&log.name)
                )
            }
            Self::Master(_) => format!("{build}/steps/{}/logs/{}", step.number, log.slug),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Links, name_of, name_segment};
    use crate::{Build, BuilderId, BuilderRef};

    #[test]
    fn names_that_are_steps_within_an_address_are_spelled_otherwise_and_read_back() {
        for (name, spelled) in [
            (".", "~."),
            ("..", "~.."),
            ("~..", "~~.."),
            ("~", "~"),
            ("...", "..."),
            ("~a", "~a"),
            ("a/..", "a%2F.."),
        ] {
            assert_eq!(name_segment(name).to_string(), spelled);
            let decoded = spelled.replace("%2F", "/");
            assert_eq!(name_of(&decoded), name);
        }
    }

    #[test]
    fn names_with_slashes_and_spaces_are_one_segment() {
        let build = Build {
            number: 7,
            builder: BuilderRef { id: BuilderId(2), name: "unit win/32".into(), tags: vec![] },
            ..Build::default()
        };
        let web = Links::web_status("http://ci.example.org/bb");
        assert_eq!(web.build(&build), "http://ci.example.org/bb/builders/unit%20win%2F32/builds/7");
        let master = Links::master("http://ci.example.org/");
        assert_eq!(master.build(&build), "http://ci.example.org/#/builders/2/builds/7");
    }
}
