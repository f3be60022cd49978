//! `HttpPush`: every event as JSON to a server (row G07).

use super::pod::{Egress, PodSettings};
use super::{AT_LEAST_A_SECOND, CatchUp, MasterRef, RateLimit, SAME_MASTER, SecretKeyRef, yes};
use crate::{Duration, Size, TargetStatus, schema};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Posts events to a server, in the packets of Buildbot 0.8's HttpStatusPush.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "HttpPush",
    plural = "httppushes",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "hp",
    category = "statustargets",
    doc = "Posts events to a server, in the packets of Buildbot 0.8's HttpStatusPush.",
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
#[x_kube(validation = Rule::new("!has(self.caSecretRef) || self.serverUrl.startsWith('https://')").message("caSecretRef needs an https:// serverUrl").field_path(".caSecretRef"))]
#[x_kube(validation = Rule::new("has(self.clientCertificateSecretRef) == has(self.clientKeySecretRef)").message("clientCertificateSecretRef and clientKeySecretRef need each other").field_path(".clientCertificateSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.clientCertificateSecretRef) || self.serverUrl.startsWith('https://')").message("clientCertificateSecretRef needs an https:// serverUrl").field_path(".clientCertificateSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.authorizationSecretRef) || self.headers.all(header, !header.name.matches('(?i)^authorization$'))").message("authorizationSecretRef makes the header Authorization already: leave one of them out").field_path(".headers"))]
#[x_kube(validation = Rule::new("!has(self.contentMode) || self.format == 'cloudevents'").message("contentMode is of format: cloudevents").field_path(".contentMode"))]
#[x_kube(validation = Rule::new("self.format != 'cloudevents' || self.filter").message("filter is of format: buildbot-0.8: leave it out").field_path(".filter"))]
#[x_kube(validation = Rule::new("self.format != 'cloudevents' || !self.debug").message("debug is of format: buildbot-0.8: leave it out").field_path(".debug"))]
#[x_kube(validation = Rule::new("self.format != 'cloudevents' || self.extraPostParams.size() == 0").message("extraPostParams are of format: buildbot-0.8: use headers").field_path(".extraPostParams"))]
#[serde(rename_all = "camelCase")]
pub struct HttpPushSpec {
    /// The Master whose events are pushed.
    #[x_kube(validation = Rule::new(SAME_MASTER).message("can\'t be changed, since its place in the journal can\'t go along: make another resource for another Master"))]
    pub master_ref: MasterRef,
    /// Holds events back until it is false again; nothing is lost within the journal's bounds.
    #[serde(default)]
    pub suspend: bool,
    /// What is told of builds whose events the journal dropped before this target was done with
    /// them, because it was down or suspended for longer than the Master's `journal` allows: they
    /// are taken from the journal's history. Without it, they are only counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Where packets are posted to.
    #[schemars(length(min = 8, max = 2048), regex(pattern = schema::HTTP_URL))]
    pub server_url: String,
    /// What is posted: the packets of Buildbot 0.8 in a form, or CloudEvents 1.0.2, which hold CDEvents
    /// 0.4.1 where these have a word for it.
    #[serde(default)]
    pub format: PushFormat,
    /// How CloudEvents are posted; `batched` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_mode: Option<ContentMode>,
    /// Whether `serverUrl` may be, or lead to, an address that is not of the Internet: this machine's
    /// own (127.0.0.0/8, ::1), a private network's (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16,
    /// 100.64.0.0/10, fc00::/7), and so a Service's of a cluster. Link-local addresses (a cloud's
    /// metadata), multicast, broadcast and 0.0.0.0 are never connected to. Redirects are not followed,
    /// and no proxy is used.
    #[serde(default)]
    pub allow_private_addresses: bool,
    /// Only events of these builders. Use either `builders` or `categories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<1000, 256>")]
    pub builders: Option<Vec<String>>,
    /// Only events of builders in one of these categories (a builder's tags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<100, 256>")]
    pub categories: Option<Vec<String>>,
    /// How long events are collected before they are posted together. Events that are posted one by
    /// one are not held back.
    #[serde(default = "buffer_delay")]
    pub buffer_delay: Duration,
    /// How long to wait after a post that failed.
    #[serde(default = "retry_delay")]
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub retry_delay: Duration,
    /// The most events of one post.
    #[serde(default = "chunk_size")]
    #[schemars(range(min = 1, max = 10_000))]
    pub chunk_size: u32,
    /// The largest body of one post, at least 4Ki. A single larger event becomes a dead letter.
    #[serde(default = "max_http_request_size")]
    #[x_kube(validation = Rule::new("quantity(string(self)).compareTo(quantity('4Ki')) >= 0").message("must be at least 4Ki; a number without a unit means bytes"))]
    pub max_http_request_size: Size,
    /// At most so many posts in a time; events wait meanwhile and go together. All HttpPushes of a
    /// process that post to the same server with the same authorization share their limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Form fields sent beside `packets` with every post.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<32, 4096>")]
    #[x_kube(validation = Rule::new("!('packets' in self)").message("packets is the field of the events themselves"))]
    pub extra_post_params: BTreeMap<String, String>,
    /// Names of events that are not pushed, such as `stepStarted`. They are Buildbot 0.8's in every
    /// format.
    #[serde(default)]
    #[schemars(schema_with = "event_names")]
    pub black_list: Vec<String>,
    /// Whether empty values, false and 0 are left out of packets, as Buildbot 0.8 does.
    #[serde(default = "yes")]
    pub filter: bool,
    /// Whether the JSON is indented and sorted, for people to read.
    #[serde(default)]
    pub debug: bool,
    /// Value of the `Authorization` header, such as `Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_secret_ref: Option<SecretKeyRef>,
    /// Headers of every post beside its own.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub headers: Vec<PushHeader>,
    /// Keys that every post is signed with, as Standard Webhooks has it: `webhook-signature` is an
    /// HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body. A value that begins with
    /// `whsec_` is base64 behind that, any other is the key itself, of at least 24 bytes at best. With
    /// two, each post has both signatures, so that the receiver can change its key at any time.
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub signature_secret_refs: Vec<SecretKeyRef>,
    /// PEM certificate that this client shows, with its intermediates: `tls.crt` of a Secret of
    /// `type: kubernetes.io/tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretKeyRef>,
    /// The certificate's private key in PEM, without a passphrase: `tls.key` of that Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_secret_ref: Option<SecretKeyRef>,
    /// PEM certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Settings of the pod, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Where the pod may connect to, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

impl HttpPushSpec {
    /// The builders whose events are pushed.
    pub fn selection(&self) -> model::Selection {
        super::selection(self.builders.as_ref(), self.categories.as_ref())
    }
}

/// What is posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PushFormat {
    /// Packets of Buildbot 0.8.
    #[default]
    #[serde(rename = "buildbot-0.8")]
    Buildbot,
    /// CloudEvents.
    #[serde(rename = "cloudevents")]
    CloudEvents,
}

/// How CloudEvents are posted over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "camelCase")]
pub enum ContentMode {
    /// A JSON list of many in a request.
    #[default]
    Batched,
    /// One a request, whole in its body.
    Structured,
    /// One a request, its attributes in headers and its data in the body.
    Binary,
}

/// A header of posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueSecretRef)").message("set either value or valueSecretRef").field_path(".value"))]
#[serde(rename_all = "camelCase")]
pub struct PushHeader {
    /// Its name. Those that a post has of its own, or that are about the connection, can't be set.
    #[schemars(length(min = 1, max = 128), regex(pattern = schema::HEADER))]
    #[x_kube(validation = Rule::new(NOT_OWN).message("is a header of the post itself or of its connection: choose another name"))]
    pub name: String,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096), regex(pattern = schema::HEADER_VALUE))]
    pub value: Option<String>,
    /// Its value, from a Secret; no log shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_secret_ref: Option<SecretKeyRef>,
}

/// A rule for names of headers.
const NOT_OWN: &str = "!self.matches('(?i)^(host|content-(type|length|encoding)|connection|\
keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|webhook-.*|ce-.*)$')";

/// The names of Buildbot 0.8's events, those that it never sent among them: a list of its time is
/// still right. `buildedRemoved` is how it spelt that.
pub(super) fn event_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {
            "type": "string",
            "maxLength": 20,
            "enum": [
                "start", "shutdown", "builderAdded", "builderRemoved", "buildedRemoved",
                "builderChangedState", "buildsetSubmitted", "requestSubmitted", "requestCancelled",
                "buildStarted", "buildFinished", "buildETAUpdate", "stepStarted", "stepFinished",
                "stepTextChanged", "stepText2Changed", "stepETAUpdate", "logStarted", "logFinished",
                "changeAdded", "slaveConnected", "slaveDisconnected", "slavePaused",
                "slaveUnpaused",
            ],
        },
    })
}

const fn buffer_delay() -> Duration {
    Duration::from_secs(1)
}

const fn retry_delay() -> Duration {
    Duration::from_secs(5)
}

const fn chunk_size() -> u32 {
    200
}

const fn max_http_request_size() -> Size {
    Size::from_bytes(1 << 20)
}
