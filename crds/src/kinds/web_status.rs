//! `WebStatus`: the pages (rows W01 to W08).

use super::exposure::{
    Autoscaling, DisruptionBudget, HttpRouteSettings, IngressSettings, ServiceSettings, one,
};
use super::pod::PodSettings;
use super::{BASE_ADDRESS, MasterRef};
use crate::{Listen, WebStatusStatus, schema};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pages about a master's builds: welcome, waterfall, builders, builds, steps and logs.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "WebStatus",
    plural = "webstatuses",
    namespaced,
    status = "WebStatusStatus",
    derive = "PartialEq",
    shortname = "ws",
    category = "statustargets",
    doc = "Pages about a master's builds: welcome, waterfall, builders, builds, steps and logs.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Master", type_ = "string", json_path = ".spec.masterRef.name"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!has(self.numEventsMax) || self.numEventsMax >= self.numEvents").message("numEventsMax must not be less than numEvents").field_path(".numEventsMax"))]
#[serde(rename_all = "camelCase")]
pub struct WebStatusSpec {
    /// The Master whose builds are shown.
    pub master_ref: MasterRef,
    /// Stops the pages without deleting the resource.
    #[serde(default)]
    pub suspend: bool,
    /// Where the pages are served: a port, or a strports string such as
    /// `"tcp:8080:interface=127.0.0.1"` or `"unix:/run/buildbot.sock:mode=660"`. Port 0 takes a
    /// free one.
    #[serde(default = "http_port")]
    pub http_port: Listen,
    /// The address under which people reach the pages, for links in mails, feeds and pushes.
    /// Pages link to each other relatively and need it not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048), regex(pattern = schema::HTTP_URL))]
    #[x_kube(validation = Rule::new(BASE_ADDRESS).message("must be the base address: without a query or fragment"))]
    pub url: Option<String>,
    /// A folder of files served beside the pages; a page wins over a file of the same address.
    /// A relative path is one from the folder that the program was started in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub public_html: Option<String>,
    /// Templates (Jinja) that replace the built-in ones, by name, such as `root.html`.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<64, 131_072>")]
    #[x_kube(validation = Rule::new("self.all(name, size(name) > 0 && size(name) <= 100)").message("a template's name has 1 to 100 characters"))]
    pub templates: BTreeMap<String, String>,
    /// A folder of templates, searched after `templates`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub templates_dir: Option<String>,
    /// More folders of templates, searched in this order after `templatesDir` and before the
    /// built-in ones.
    #[serde(default)]
    #[schemars(schema_with = "schema::texts::<16, 4096>")]
    pub jinja_loaders: Vec<String>,
    /// Only builders in one of these categories (a builder's tags) are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<100, 256>")]
    pub categories: Option<Vec<String>>,
    /// How many builds a list shows unless the address says `numbuilds=`. Unset, a builder's
    /// page shows 5 and the lists of all builders' builds 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub numbuilds: Option<u32>,
    /// How many rows the waterfall shows unless the address says `num_events=`.
    #[serde(default = "num_events")]
    #[schemars(range(min = 1, max = 100_000))]
    pub num_events: u32,
    /// The most rows the waterfall shows, whatever the address asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub num_events_max: Option<u32>,
    /// Whether the console orders changes by their time instead of their revision.
    #[serde(default)]
    pub order_console_by_time: bool,
    /// Links for projects: from a project's name to a URL. The name `*` stands for every
    /// project without an entry of its own. A value may be a template that sees `name`.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<200, 2048>")]
    pub projects: BTreeMap<String, String>,
    /// Links for repositories: from a repository to a URL; `*` and templates as for `projects`.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<200, 2048>")]
    pub repositories: BTreeMap<String, String>,
    /// Links for revisions: from a repository to a URL in which `%s` stands for the revision;
    /// `*` stands for every other repository. A value may be a template that sees `revision`
    /// and `repository`. A change's own link wins.
    #[serde(default)]
    #[schemars(schema_with = "schema::text_map::<200, 2048>")]
    pub revlink: BTreeMap<String, String>,
    /// Links in comments of changes, such as ticket numbers: from a project's name to a
    /// pattern and a URL; `*` stands for every other project.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 200))]
    pub changecommentlink: BTreeMap<String, CommentLink>,
    /// The project's name on every page; the master's title when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = schema::ONE_LINE))]
    pub title: Option<String>,
    /// Where the project's name links to; the master's `titleURL` when unset.
    #[serde(rename = "titleURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048), regex(pattern = schema::HTTP_URL))]
    pub title_url: Option<String>,
    /// How many pods serve the pages, in a cluster.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: u32,
    /// Has the number of pods follow the load, in place of `replicas`. The cluster needs a metrics
    /// server for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Keeps pages served while nodes are drained, where there is more than one pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
    /// The Service of the pages, in a cluster.
    #[serde(default)]
    pub service: ServiceSettings,
    /// An Ingress for the pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSettings>,
    /// An HTTPRoute for the pages, where the cluster has the Gateway API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRouteSettings>,
    /// Settings of the pods, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
}

/// Turns parts of a comment into links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommentLink {
    /// A regular expression, such as `#(\d+)`.
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: String,
    /// The link; `\1` is the first group, `\g<0>` the whole match.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// The link's title, with the same groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub title: Option<String>,
}

impl WebStatusSpec {
    /// The builders that are shown.
    pub fn selection(&self) -> model::Selection {
        super::selection(None, self.categories.as_ref())
    }

    /// How many builds a builder's page shows (P10).
    pub fn builder_numbuilds(&self) -> u32 {
        self.numbuilds.unwrap_or(5)
    }

    /// How many builds the lists of all builders' builds show (P17).
    pub fn list_numbuilds(&self) -> u32 {
        self.numbuilds.unwrap_or(20)
    }
}

const fn http_port() -> Listen {
    Listen::Tcp { port: 8010, interface: None }
}

const fn num_events() -> u32 {
    200
}
