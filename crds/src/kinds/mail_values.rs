//! Values of a `MailNotifier`'s fields that are more than texts and numbers.

use crate::schema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// A kind of build that is mailed about (M02).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Another result than the build before.
    Change,
    /// Failed.
    Failing,
    /// Succeeded.
    Passing,
    /// Failed, and the build before did not.
    Problem,
    /// Had warnings.
    Warnings,
    /// Broke.
    Exception,
}

impl Mode {
    /// All of them: what the shortcut `all` means.
    pub const ALL: [Self; 6] = [
        Self::Change,
        Self::Failing,
        Self::Passing,
        Self::Problem,
        Self::Warnings,
        Self::Exception,
    ];
    /// What the shortcut `warnings` means.
    pub const WARNINGS: [Self; 2] = [Self::Warnings, Self::Failing];
}

/// The value of `mode`: a list, or a shortcut for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Modes {
    /// A shortcut.
    Shortcut(ModeShortcut),
    /// The list itself.
    List(Vec<Mode>),
}

/// A word for a list of modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeShortcut {
    /// [`Mode::ALL`].
    All,
    /// [`Mode::WARNINGS`].
    Warnings,
}

impl Modes {
    /// The list, with a shortcut replaced by what it stands for.
    pub fn list(&self) -> &[Mode] {
        match self {
            Self::Shortcut(ModeShortcut::All) => &Mode::ALL,
            Self::Shortcut(ModeShortcut::Warnings) => &Mode::WARNINGS,
            Self::List(modes) => modes,
        }
    }

    /// Whether a mode is among them.
    pub fn contains(&self, mode: Mode) -> bool {
        self.list().contains(&mode)
    }
}

impl Default for Modes {
    fn default() -> Self {
        Self::List(vec![Mode::Failing, Mode::Passing, Mode::Warnings])
    }
}

/// How the connection to the relay is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// In the clear.
    None,
    /// By STARTTLS; refused when the server does not offer it.
    Starttls,
    /// From the first byte on.
    Implicit,
}

/// Not derived: variants with a doc each would become a `oneOf`.
impl JsonSchema for MailTls {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "MailTls".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["none", "starttls", "implicit"] })
    }
}

/// How a user's name becomes an address (M07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", from = "LookupForm")]
pub enum Lookup {
    /// `NAME@DOMAIN`; a name that holds an `@` stays as it is.
    Domain(String),
    /// By name; names without an entry get no mail.
    Map(BTreeMap<String, String>),
    /// Addresses that the master has.
    Users(UserSource),
    /// By name, of a file.
    File(LookupFile),
}

/// A file of names and addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupFile {
    /// Where it is.
    pub path: String,
    /// What it is; by the end of its name when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<LookupFormat>,
}

/// What a file of names and addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LookupFormat {
    /// A directory's entries, as `ldapsearch` writes them (RFC 2849).
    Ldif,
    /// Lines of name and address.
    Csv,
}

/// Whose users are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserSource {
    /// The master's.
    Master,
}

/// The forms in which manifests say a [`Lookup`].
#[derive(Deserialize)]
#[serde(untagged)]
enum LookupForm {
    Text(String),
    Domain { domain: String },
    Map { map: BTreeMap<String, String> },
    Users { users: UserSource },
    File { file: LookupFile },
}

impl From<LookupForm> for Lookup {
    fn from(form: LookupForm) -> Self {
        match form {
            LookupForm::Text(domain) | LookupForm::Domain { domain } => Self::Domain(domain),
            LookupForm::Map { map } => Self::Map(map),
            LookupForm::Users { users } => Self::Users(users),
            LookupForm::File { file } => Self::File(file),
        }
    }
}

/// Kind of a message's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyType {
    /// `text/plain`.
    #[default]
    Plain,
    /// `text/html`.
    Html,
}

impl JsonSchema for BodyType {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "BodyType".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["plain", "html"] })
    }
}

/// A list or a word. A structural schema can't say "one of two types", so the type is open.
/// Each keyword binds values of its own type only: those of the other types are such that
/// nothing fits them.
pub(super) fn mode_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "pattern": "^(all|warnings)$",
        "maxLength": 8,
        "minimum": 1,
        "maximum": 0,
        "minProperties": 1,
        "maxProperties": 0,
        "not": { "enum": [true, false] },
        "minItems": 1,
        "maxItems": 6,
        "items": {
            "type": "string",
            "maxLength": 9,
            "enum": ["change", "failing", "passing", "problem", "warnings", "exception"],
        },
    })
}

/// A domain or an object of one member; see [`mode_schema`].
pub(super) fn lookup_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "pattern": schema::DOMAIN,
        "minLength": 1,
        "maxLength": 253,
        "minimum": 1,
        "maximum": 0,
        "minItems": 1,
        "maxItems": 0,
        "not": { "enum": [true, false] },
        "minProperties": 1,
        "maxProperties": 1,
        // Unknown members would pass otherwise. Texts have no members, and pass.
        "anyOf": [
            { "required": ["domain"] },
            { "required": ["map"] },
            { "required": ["users"] },
            { "required": ["file"] },
        ],
        "properties": {
            "domain": {
                "description": "The domain that is appended to a name without an `@`.",
                "type": "string",
                "minLength": 1,
                "maxLength": 253,
                "pattern": schema::DOMAIN,
            },
            "map": {
                "description": "Addresses by name; names without an entry get no mail.",
                "type": "object",
                "maxProperties": 1000,
                "additionalProperties": {
                    "type": "string",
                    "minLength": 3,
                    "maxLength": 320,
                    "pattern": schema::ADDRESS,
                },
            },
            "users": {
                "description": "Whose users are asked: the master's.",
                "type": "string",
                "enum": ["master"],
            },
            "file": {
                "description": "A file of names and addresses, read again when it changes.",
                "type": "object",
                "required": ["path"],
                "properties": {
                    "path": {
                        "description": "Where it is. In a cluster, in a volume of `pod.volumes`, such as a ConfigMap's.",
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 4096,
                    },
                    "format": {
                        "description": "`ldif` (entries with `uid`, `cn` and `mail`) or `csv` (lines of name and address); by the end of the path when unset.",
                        "type": "string",
                        "enum": ["ldif", "csv"],
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Lookup, Mode, Modes, UserSource};

    #[test]
    fn m02_shortcuts_stand_for_the_lists_of_the_specification() {
        let modes = |text| serde_json::from_str::<Modes>(text).unwrap();
        assert_eq!(modes("\"all\"").list(), Mode::ALL);
        assert_eq!(modes("\"warnings\"").list(), [Mode::Warnings, Mode::Failing]);
        assert_eq!(modes("[\"warnings\"]").list(), [Mode::Warnings]);
        assert_eq!(Modes::default().list(), [Mode::Failing, Mode::Passing, Mode::Warnings]);
    }

    #[test]
    fn m07_lookup_takes_a_domain_or_an_object() {
        let lookup = |text| serde_json::from_str::<Lookup>(text).unwrap();
        assert_eq!(lookup("\"example.org\""), Lookup::Domain("example.org".into()));
        assert_eq!(lookup("{\"domain\":\"example.org\"}"), Lookup::Domain("example.org".into()));
        assert_eq!(lookup("{\"users\":\"master\"}"), Lookup::Users(UserSource::Master));
        let file = lookup("{\"file\":{\"path\":\"/people.ldif\"}}");
        assert!(matches!(file, Lookup::File(file) if file.path == "/people.ldif"));
        let map = lookup("{\"map\":{\"bob\":\"bob@example.org\"}}");
        assert_eq!(serde_json::to_value(&map).unwrap()["map"]["bob"], "bob@example.org");
    }
}
