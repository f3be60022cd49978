//! Where a server listens, as Twisted's strports say it: `8010`, `tcp:8080:interface=127.0.0.1`,
//! `unix:/run/buildbot/www.sock:mode=660` (row W01).

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// What the schema accepts. A colon within an argument is written `\:`, as Twisted has it.
pub(crate) const PATTERN: &str =
    r"^((tcp:)?[0-9]{1,5}(:interface=([0-9A-Fa-f.]|\\:)+)?|unix:/[^:\n]+(:mode=[0-7]{3,4})?)$";
const MAX_LENGTH: u32 = 160;
/// Linux refuses longer socket paths.
const MAX_PATH: usize = 107;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port; 0 takes a free one.
    Tcp {
        /// The port.
        port: u16,
        /// The address to bind; all of them when absent.
        interface: Option<IpAddr>,
    },
    /// A UNIX socket.
    Unix {
        /// Its path, absolute.
        path: PathBuf,
        /// Its permissions; 0o666 is Twisted's default.
        mode: u32,
    },
}

/// Why a text says no [`Listen`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrportsError {
    /// Neither a number nor `tcp:` nor `unix:`.
    #[error(
        "{0:?} is no address to listen on: write a port (8010), \"tcp:PORT:interface=ADDRESS\" or \"unix:/PATH\""
    )]
    Form(String),
    /// Not 0 to 65535.
    #[error("{0} is no port: the highest is 65535")]
    Port(String),
    /// Not an IP address.
    #[error("{0:?} is no IP address (a colon of an IPv6 address is written \\:)")]
    Interface(String),
    /// Not `interface=` (TCP) or `mode=` (UNIX).
    #[error("unknown argument {0:?}: tcp knows interface=, unix knows mode=")]
    Argument(String),
    /// Relative, or longer than a socket's path may be.
    #[error("{0:?} is no path for a socket: it must be absolute and at most 107 bytes")]
    Path(String),
}

/// Splits at colons that no backslash precedes; a backslash keeps the character after it.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' => fields.push(String::new()),
            other => {
                let kept = if other == '\\' { characters.next() } else { Some(other) };
                if let (Some(last), Some(kept)) = (fields.last_mut(), kept) {
                    last.push(kept);
                }
            }
        }
    }
    fields
}

fn tcp(port: &str, arguments: &[String]) -> Result<Listen, StrportsError> {
    let number = port.parse().map_err(|_| StrportsError::Port(port.to_owned()))?;
    let mut interface = None;
    for argument in arguments {
        let address = argument
            .strip_prefix("interface=")
            .ok_or_else(|| StrportsError::Argument(argument.clone()))?;
        interface =
            Some(address.parse().map_err(|_| StrportsError::Interface(address.to_owned()))?);
    }
    Ok(Listen::Tcp { port: number, interface })
}

fn unix(path: &str, arguments: &[String]) -> Result<Listen, StrportsError> {
    if !path.starts_with('/') || path.len() > MAX_PATH || path.contains('\0') {
        return Err(StrportsError::Path(path.to_owned()));
    }
    let mut mode = 0o666;
    for argument in arguments {
        mode = argument
            .strip_prefix("mode=")
            .and_then(|octal| u32::from_str_radix(octal, 8).ok())
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| StrportsError::Argument(argument.clone()))?;
    }
    Ok(Listen::Unix { path: path.into(), mode })
}

impl FromStr for Listen {
    type Err = StrportsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = || text.chars().take(MAX_LENGTH as usize).collect();
        if text.len() > MAX_LENGTH as usize {
            return Err(StrportsError::Form(short()));
        }
        let fields = fields(text);
        match fields.as_slice() {
            [kind, port, arguments @ ..] if kind == "tcp" => tcp(port, arguments),
            [kind, path, arguments @ ..] if kind == "unix" => unix(path, arguments),
            [port, arguments @ ..]
                if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) =>
            {
                tcp(port, arguments)
            }
            _ => Err(StrportsError::Form(short())),
        }
    }
}

/// The inverse of [`fields`] for one field.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { port, interface: None } => write!(f, "tcp:{port}"),
            Self::Tcp { port, interface: Some(address) } => {
                write!(f, "tcp:{port}:interface={}", escaped(&address.to_string()))
            }
            Self::Unix { path, mode } => {
                write!(f, "unix:{}", escaped(&path.display().to_string()))?;
                if *mode == 0o666 { Ok(()) } else { write!(f, ":mode={mode:o}") }
            }
        }
    }
}

/// A plain port is a number, anything else a string.
impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tcp { port, interface: None } => serializer.serialize_u16(*port),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Port(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Port(port) => port.to_string().parse().map_err(de::Error::custom),
            Form::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Listen {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": PATTERN,
            "maxLength": MAX_LENGTH,
            "minimum": 0,
            "maximum": u16::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Listen, StrportsError};
    use proptest::prelude::*;

    fn port(port: u16) -> Listen {
        Listen::Tcp { port, interface: None }
    }

    #[test]
    fn w01_a_port_is_a_number_or_a_strports_string() {
        let local = Some("127.0.0.1".parse().unwrap());
        let six = Some("::1".parse().unwrap());
        let socket = |mode| Listen::Unix { path: "/run/www.sock".into(), mode };
        for (text, listen, written) in [
            ("8010", port(8010), "8010"),
            ("\"8010\"", port(8010), "8010"),
            ("\"tcp:8010\"", port(8010), "8010"),
            (
                "\"tcp:8080:interface=127.0.0.1\"",
                Listen::Tcp { port: 8080, interface: local },
                "\"tcp:8080:interface=127.0.0.1\"",
            ),
            (
                r#""tcp:8080:interface=\\:\\:1""#,
                Listen::Tcp { port: 8080, interface: six },
                r#""tcp:8080:interface=\\:\\:1""#,
            ),
            ("\"unix:/run/www.sock\"", socket(0o666), "\"unix:/run/www.sock\""),
            ("\"unix:/run/www.sock:mode=660\"", socket(0o660), "\"unix:/run/www.sock:mode=660\""),
        ] {
            assert_eq!(serde_json::from_str::<Listen>(text).unwrap(), listen, "{text}");
            assert_eq!(serde_json::to_string(&listen).unwrap(), written);
        }
    }

    #[test]
    fn w01_bad_addresses_say_what_is_wrong_with_them() {
        let error = |text: &str| text.parse::<Listen>().unwrap_err();
        assert_eq!(error("tcp:70000"), StrportsError::Port("70000".into()));
        assert_eq!(
            error("tcp:80:interface=localhost"),
            StrportsError::Interface("localhost".into())
        );
        assert_eq!(error("tcp:80:host=::1"), StrportsError::Argument("host=".into()));
        assert_eq!(error("unix:www.sock"), StrportsError::Path("www.sock".into()));
        assert_eq!(error("unix:/www.sock:mode=999"), StrportsError::Argument("mode=999".into()));
        assert_eq!(error("ssl:443"), StrportsError::Form("ssl:443".into()));
        assert_eq!(error(""), StrportsError::Form(String::new()));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_parses_reads_back(text in r"(tcp:|unix:/)?[0-9a-z:=/.\\é]{0,40}") {
            if let Ok(listen) = text.parse::<Listen>() {
                prop_assert_eq!(listen.to_string().parse::<Listen>().unwrap(), listen);
            }
        }
    }
}
