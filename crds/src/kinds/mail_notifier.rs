//! `MailNotifier`: mail about builds (rows M01 to M09).

use super::{MasterRef, SecretKeyRef, yes};
use crate::{TargetStatus, schema};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// Mails people about finished builds.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "MailNotifier",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "mn",
    category = "statustargets",
    doc = "Mails people about finished builds.",
    printcolumn(name = "Master", type_ = "string", json_path = ".spec.masterRef.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Relay", type_ = "string", json_path = ".spec.relayhost"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!(has(self.builders) && has(self.categories))").message("set either builders or categories, not both").field_path(".categories"))]
#[x_kube(validation = Rule::new("self.sendToInterestedUsers || size(self.extraRecipients) > 0").message("nobody would get mail: sendToInterestedUsers is false, so extraRecipients needs an address").field_path(".extraRecipients"))]
#[x_kube(validation = Rule::new("has(self.smtpUser) == has(self.smtpPasswordSecretRef)").message("set both smtpUser and smtpPasswordSecretRef, or neither").field_path(".smtpUser"))]
#[x_kube(validation = Rule::new("!self.useTls || has(self.smtpUser)").message("useTls needs smtpUser and smtpPasswordSecretRef; for TLS without a login set tls: starttls instead").field_path(".useTls"))]
#[x_kube(validation = Rule::new("!self.useTls || !has(self.tls) || self.tls == 'starttls'").message("useTls means tls: starttls; set only one of them").field_path(".tls"))]
#[x_kube(validation = Rule::new("!has(self.caSecretRef) || self.useTls || (has(self.tls) && self.tls != 'none')").message("caSecretRef needs useTls or tls").field_path(".caSecretRef"))]
#[serde(rename_all = "camelCase")]
pub struct MailNotifierSpec {
    /// The Master whose builds are mailed about.
    pub master_ref: MasterRef,
    /// Holds mail back until it is false again; nothing is lost within the journal's bounds.
    #[serde(default)]
    pub suspend: bool,
    /// The address in the `From` header, with a name or without.
    #[schemars(length(min = 3, max = 320), regex(pattern = schema::ADDRESS))]
    pub fromaddr: String,
    /// Addresses that get every mail, beside the interested users.
    #[serde(default)]
    #[schemars(schema_with = "schema::addresses")]
    pub extra_recipients: Vec<String>,
    /// Whether the authors of a build's changes and its `owners` get mail. `lookup` says how
    /// their names become addresses.
    #[serde(default = "yes")]
    pub send_to_interested_users: bool,
    /// The subject. `%(builder)s`, `%(result)s`, `%(title)s`, `%(projectName)s` and
    /// `%(prop:NAME)s` are replaced.
    #[serde(default = "subject")]
    #[schemars(length(min = 1, max = 500), regex(pattern = schema::ONE_LINE))]
    pub subject: String,
    /// Which builds are mailed about: a list of `change` (another result than the build before),
    /// `failing`, `passing`, `problem` (failed after one that did not), `warnings` and
    /// `exception`; or the word `all` for the six of them, or the word `warnings` for warnings
    /// and failing.
    #[serde(default)]
    #[schemars(schema_with = "mode_schema")]
    pub mode: Modes,
    /// Only builds of these builders. Use either `builders` or `categories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<1000, 256>")]
    pub builders: Option<Vec<String>>,
    /// Only builds of builders in one of these categories (a builder's tags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<100, 256>")]
    pub categories: Option<Vec<String>>,
    /// The SMTP server that takes the mail.
    #[serde(default = "relayhost")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = schema::HOST)
    )]
    pub relayhost: String,
    /// The SMTP server's port.
    #[serde(default = "smtp_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub smtp_port: u16,
    /// Whether the connection is secured by STARTTLS, with a login. The same as
    /// `tls: starttls`, which does without a login.
    #[serde(default)]
    pub use_tls: bool,
    /// How the connection is secured: not at all, by STARTTLS after connecting in the clear, or
    /// from the first byte on (usually port 465). Never less than asked for. `starttls` when
    /// `useTls` is true, otherwise `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<MailTls>,
    /// The user to log in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub smtp_user: Option<String>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_password_secret_ref: Option<SecretKeyRef>,
    /// PEM certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// How names of interested users become addresses: a domain to append; or one of
    /// `{domain: D}`, `{map: {name: address}}` and `{users: master}`, which uses the addresses
    /// that the master's users and changes carry. The last is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "lookup_schema")]
    pub lookup: Option<Lookup>,
    /// A text of one's own instead of the usual message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_formatter: Option<MessageFormatter>,
    /// More headers. Names and values may hold `%(prop:NAME)s` and the like.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<32, 1024>")]
    #[x_kube(validation = Rule::new("self.all(name, size(name) > 0 && size(name) <= 200)").message("a header's name has 1 to 200 characters"))]
    pub extra_headers: BTreeMap<String, String>,
}

impl MailNotifierSpec {
    /// The builders that are mailed about (M03).
    pub fn selection(&self) -> model::Selection {
        super::selection(self.builders.as_ref(), self.categories.as_ref())
    }

    /// How the connection is secured, from `tls` and `useTls`.
    pub fn tls(&self) -> MailTls {
        let implied = if self.use_tls { MailTls::Starttls } else { MailTls::None };
        self.tls.unwrap_or(implied)
    }
}

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
}

impl From<LookupForm> for Lookup {
    fn from(form: LookupForm) -> Self {
        match form {
            LookupForm::Text(domain) | LookupForm::Domain { domain } => Self::Domain(domain),
            LookupForm::Map { map } => Self::Map(map),
            LookupForm::Users { users } => Self::Users(users),
        }
    }
}

/// A message of one's own (M08).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageFormatter {
    /// Whether the body is plain text or HTML. In HTML, values are escaped.
    #[serde(rename = "type", default)]
    pub body_type: BodyType,
    /// A template (Jinja) of the subject; `spec.subject` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000), regex(pattern = schema::ONE_LINE))]
    pub subject: Option<String>,
    /// A template (Jinja) of the whole body. It sees the build with its steps, logs, changes and
    /// properties, as `docs/build-context.md` lists them.
    #[schemars(length(min = 1, max = 65_536))]
    pub body: String,
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
fn mode_schema(_: &mut SchemaGenerator) -> Schema {
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
fn lookup_schema(_: &mut SchemaGenerator) -> Schema {
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
        },
    })
}

fn subject() -> String {
    "buildbot %(result)s in %(title)s on %(builder)s".to_owned()
}

fn relayhost() -> String {
    "localhost".to_owned()
}

const fn smtp_port() -> u16 {
    25
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
        let map = lookup("{\"map\":{\"bob\":\"bob@example.org\"}}");
        assert_eq!(serde_json::to_value(&map).unwrap()["map"]["bob"], "bob@example.org");
    }
}
