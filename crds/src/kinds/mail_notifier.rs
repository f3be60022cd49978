//! `MailNotifier`: mail about builds (rows M01 to M10).

use super::mail_message::{AddLogs, LogLimits, MessageFormatter, PreviousBuild, add_logs_schema};
use super::mail_values::{Lookup, MailTls, Modes, lookup_schema, mode_schema};
use super::pod::{Egress, PodSettings};
use super::{CatchUp, MasterRef, RateLimit, SAME_MASTER, SecretKeyRef, yes};
use crate::{TargetStatus, schema};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Master", type_ = "string", json_path = ".spec.masterRef.name"),
    printcolumn(name = "Delivered", type_ = "integer", json_path = ".status.delivered"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "Dead", type_ = "integer", json_path = ".status.deadLetters"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastDelivered"),
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
    #[x_kube(validation = Rule::new(SAME_MASTER).message("can\'t be changed, since its place in the journal can\'t go along: make another resource for another Master"))]
    pub master_ref: MasterRef,
    /// Holds mail back until it is false again; nothing is lost within the journal's bounds.
    #[serde(default)]
    pub suspend: bool,
    /// What is told of builds whose events the journal dropped before this target was done with
    /// them, because it was down or suspended for longer than the Master's `journal` allows: they
    /// are taken from the journal's history. Without it, they are only counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
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
    /// Which build a build is compared with for the modes `change` and `problem`: `number` (the
    /// finished one of the next lower number), `sameBranch` (the same, of the same branches),
    /// `topological` (by the order in which revisions came in; a build of an older revision than
    /// one that is done is compared with none), or a CEL expression that sees the build, and an
    /// earlier one as `candidate`: of the last 200 the first for which it is true. Where there is
    /// none, neither mode holds.
    #[serde(default)]
    #[schemars(length(min = 1, max = 4096))]
    pub previous_build_getter: PreviousBuild,
    /// One mail for a buildset, once all its builds are done, instead of one for each build.
    #[serde(default)]
    pub build_set_summary: bool,
    /// Which logs are attached: `true` for all, or a list of names such as `stdio`, or
    /// `compile.stdio` for the log of one step. Lines about the command and its environment are
    /// left out.
    #[serde(default)]
    #[schemars(schema_with = "add_logs_schema")]
    pub add_logs: AddLogs,
    /// How much of the attached logs is sent.
    #[serde(default)]
    pub log_limits: LogLimits,
    /// Whether the patches of a try build are attached.
    #[serde(default = "yes")]
    pub add_patch: bool,
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
    /// `{domain: D}`, `{map: {name: address}}`, `{file: {path: P}}` with an LDIF or CSV file, and
    /// `{users: master}`, which uses the addresses that the master's users and changes carry. The
    /// last is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "lookup_schema")]
    pub lookup: Option<Lookup>,
    /// At most so many mails in a time; the others wait. All MailNotifiers of a process that use the
    /// same server, user and password share their limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// A text of one's own instead of the usual message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_formatter: Option<MessageFormatter>,
    /// More headers. Names and values may hold `%(prop:NAME)s` and the like; in a mail about
    /// several builds such headers are left out.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<32, 1024>")]
    #[x_kube(validation = Rule::new("self.all(name, size(name) > 0 && size(name) <= 200)").message("a header's name has 1 to 200 characters"))]
    pub extra_headers: BTreeMap<String, String>,
    /// Settings of the pod, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Where the pod may connect to, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
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

fn subject() -> String {
    "buildbot %(result)s in %(title)s on %(builder)s".to_owned()
}

fn relayhost() -> String {
    "localhost".to_owned()
}

const fn smtp_port() -> u16 {
    25
}
