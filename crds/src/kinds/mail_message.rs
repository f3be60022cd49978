//! What a `MailNotifier`'s message holds: text, logs, patches, and what a build is compared with.

use super::mail_values::BodyType;
use crate::{Size, schema};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A message of one's own (M08).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.body) != has(self.builtin)").message("set either body or builtin").field_path(".body"))]
#[x_kube(validation = Rule::new("!has(self.plainBody) || (has(self.body) && self.type == 'html')").message("plainBody needs a body of type html").field_path(".plainBody"))]
#[serde(rename_all = "camelCase")]
pub struct MessageFormatter {
    /// Whether the body is plain text or HTML. In HTML, values are escaped. A built-in message
    /// has a type of its own.
    #[serde(rename = "type", default)]
    pub body_type: BodyType,
    /// A template (Jinja) of the subject; `spec.subject` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2000), regex(pattern = schema::ONE_LINE))]
    pub subject: Option<String>,
    /// A template (Jinja) of the whole body. It sees the build with its steps, logs, changes and
    /// properties, as `docs/build-context.md` lists them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub body: Option<String>,
    /// A template of the same as plain text, beside a body of type `html`: readers show what they
    /// can. Without it, the mail is HTML only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub plain_body: Option<String>,
    /// One of the manual's examples, instead of a body of one's own: `short` (a line for phones)
    /// or `htmlWithLog` (changes, and the end of the last step's log).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builtin: Option<BuiltinMessage>,
    /// How many lines of a log's end a template sees.
    #[serde(default = "log_lines")]
    #[schemars(range(min = 1, max = 1000))]
    pub log_lines: u32,
}

const fn log_lines() -> u32 {
    80
}

/// A message that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BuiltinMessage {
    /// `STATUS: Success`.
    Short,
    /// The changes, and the end of the last step's log, as HTML.
    HtmlWithLog,
}

impl JsonSchema for BuiltinMessage {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "BuiltinMessage".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["short", "htmlWithLog"] })
    }
}

/// Which logs are attached (M04).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AddLogs {
    /// All or none.
    All(bool),
    /// Those of these names: `LOG` or `STEP.LOG`.
    Named(Vec<String>),
}

impl Default for AddLogs {
    fn default() -> Self {
        Self::All(false)
    }
}

impl AddLogs {
    /// Whether any log could be attached.
    pub fn any(&self) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Named(names) => !names.is_empty(),
        }
    }

    /// Whether the log of a step is attached.
    pub fn wants(&self, step: &str, log: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Named(names) => names.iter().any(|name| {
                name == log
                    || name.strip_prefix(step).and_then(|rest| rest.strip_prefix('.')) == Some(log)
            }),
        }
    }
}

/// A boolean or a list; see [`super::mail_values::mode_schema`] for how one of two types is said.
pub(super) fn add_logs_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "minLength": 1,
        "maxLength": 0,
        "minimum": 1,
        "maximum": 0,
        "minProperties": 1,
        "maxProperties": 0,
        "maxItems": 100,
        "items": { "type": "string", "minLength": 1, "maxLength": 256 },
    })
}

/// Bounds of attached logs. What is cut says so, with the address of the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LogLimits {
    /// The most bytes of one log.
    pub per_log: Size,
    /// The most bytes of all logs and patches of a mail; never more than 32Mi. Logs of failed
    /// steps come first. Encoded for the way, it may be a third more; while it is sent, it takes
    /// some five times as much memory.
    pub per_mail: Size,
    /// Whether the end (`tail`) or the beginning (`head`) of a log that is too large is sent.
    pub keep: LogPart,
}

impl LogLimits {
    /// More than this no mail has, whatever is set: it is put together in memory.
    const LARGEST: u64 = 32 << 20;

    /// The most bytes of one log.
    pub fn of_log(&self) -> usize {
        Self::bytes(self.per_log)
    }

    /// The most bytes of all that is attached to a mail.
    pub fn of_mail(&self) -> usize {
        Self::bytes(self.per_mail)
    }

    fn bytes(size: Size) -> usize {
        usize::try_from(size.bytes().min(Self::LARGEST)).unwrap_or(usize::MAX)
    }
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            per_log: Size::from_bytes(1 << 20),
            per_mail: Size::from_bytes(6 << 20),
            keep: LogPart::Tail,
        }
    }
}

/// A part of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogPart {
    /// Its end, where errors mostly are.
    #[default]
    Tail,
    /// Its beginning.
    Head,
}

impl JsonSchema for LogPart {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "LogPart".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["tail", "head"] })
    }
}

/// Which build a build is compared with (M10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum PreviousBuild {
    /// The finished one of the next lower number.
    #[default]
    Number,
    /// The same, of the same branches.
    SameBranch,
    /// By the order in which revisions came in.
    Topological,
    /// The nearest earlier one for which a CEL expression is true.
    Expression(String),
}

impl From<String> for PreviousBuild {
    fn from(text: String) -> Self {
        match text.trim() {
            "number" => Self::Number,
            "sameBranch" => Self::SameBranch,
            "topological" => Self::Topological,
            _ => Self::Expression(text),
        }
    }
}

impl From<PreviousBuild> for String {
    fn from(previous: PreviousBuild) -> Self {
        match previous {
            PreviousBuild::Number => "number".to_owned(),
            PreviousBuild::SameBranch => "sameBranch".to_owned(),
            PreviousBuild::Topological => "topological".to_owned(),
            PreviousBuild::Expression(text) => text,
        }
    }
}

impl JsonSchema for PreviousBuild {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "PreviousBuild".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{AddLogs, PreviousBuild};
    use serde_json::json;

    #[test]
    fn m04_logs_are_named_alone_or_with_their_step() {
        let logs = |value| serde_json::from_value::<AddLogs>(value).unwrap();
        let (all, none) = (logs(json!(true)), logs(json!(false)));
        assert!(all.wants("compile", "stdio") && all.any() && !none.wants("a", "b") && !none.any());
        let named = logs(json!(["stdio", "unit tests.failed tests", "a.b.c"]));
        for (step, log, wanted) in [
            ("compile", "stdio", true),
            ("unit tests", "failed tests", true),
            ("docs", "failed tests", false),
            ("compile", "errors", false),
            // Names may hold dots themselves.
            ("a.b", "c", true),
            ("a", "b.c", true),
            ("a", "c", false),
        ] {
            assert_eq!(named.wants(step, log), wanted, "{step} {log}");
        }
    }

    #[test]
    fn m10_a_word_is_a_choice_and_anything_else_an_expression() {
        let previous = |text: &str| serde_json::from_value::<PreviousBuild>(json!(text)).unwrap();
        assert_eq!(previous("number"), PreviousBuild::default());
        assert_eq!(previous("sameBranch"), PreviousBuild::SameBranch);
        assert_eq!(previous("topological"), PreviousBuild::Topological);
        let expression = previous("candidate.result != 'retry'");
        assert_eq!(serde_json::to_value(&expression).unwrap(), "candidate.result != 'retry'");
    }
}
