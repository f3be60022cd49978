//! The resource kinds, their settings and rules, and the reader of manifests.
//!
//! A kind is a Rust struct here: [`MasterSpec`], [`WebStatusSpec`], [`MailNotifierSpec`],
//! [`HttpPushSpec`], [`StatusPushSpec`], [`GerritPushSpec`], [`GitHubStatusSpec`]. Everything else
//! comes from these types: the CRDs ([`definitions`]), the reference pages, and the rules that the
//! reader of manifests enforces. So a cluster and a process without one refuse the same documents.
//!
//! ```
//! use crds::manifest::{LoadOptions, load};
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("status.yaml");
//! std::fs::write(&file, "
//! apiVersion: statustargets.dev/v1alpha1
//! kind: Master
//! metadata: {name: main}
//! spec: {url: 'http://localhost:8010/', reconcileIntervall: 5m}
//! ")?;
//! let errors = load(&[&file], &LoadOptions::default()).unwrap_err();
//! assert!(errors[0].to_string().ends_with(
//!     "status.yaml:5:39: spec.reconcileIntervall: unknown field; did you mean \"reconcileInterval\"?"
//! ));
//! # Ok::<(), std::io::Error>(())
//! ```

mod definitions;
#[cfg(test)]
mod fuzz;
mod kinds;
pub mod manifest;
mod reference;
mod schema;
pub mod secrets;
mod status;
pub mod strports;
mod values;

pub use definitions::{Definition, DefinitionError, definitions, yaml};
pub use kinds::exposure::{
    Autoscaling, DisruptionBudget, HttpRouteSettings, IngressSettings, ParentRef, ServiceSettings,
    ServiceType,
};
pub use kinds::gerrit_push::{
    BuildReview, GerritHttp, GerritLabels, GerritNotify, GerritPush, GerritPushSpec, StartReview,
    SummaryReview,
};
pub use kinds::github_status::{
    GitHubApp, GitHubMode, GitHubState, GitHubStates, GitHubStatus, GitHubStatusSpec, MissedBuilds,
};
pub use kinds::http_push::{ContentMode, HttpPush, HttpPushSpec, PushFormat, PushHeader};
pub use kinds::mail_message::{
    AddLogs, BuiltinMessage, LogLimits, LogPart, MessageFormatter, PreviousBuild,
};
pub use kinds::mail_notifier::{MailNotifier, MailNotifierSpec};
pub use kinds::mail_values::{
    BodyType, Lookup, LookupFile, LookupFormat, MailTls, Mode, ModeShortcut, Modes, UserSource,
};
pub use kinds::master::{
    AllowedNamespaces, Master, MasterAuth, MasterHistory, MasterJournal, MasterSpec, MasterStorage,
    NamespacesFrom,
};
pub use kinds::pod::{Egress, LocalName, PodSettings};
pub use kinds::status_push::{StatusPush, StatusPushSpec};
pub use kinds::web_status::{CommentLink, WebStatus, WebStatusSpec};
pub use kinds::{CaTrust, CatchUp, MasterRef, RateLimit, SecretKeyRef};
pub use reference::reference;
pub use status::{MasterStatus, TargetStatus, WebStatusStatus};
pub use strports::Listen;
pub use values::duration::{Duration, DurationError};
pub use values::size::{Size, SizeError};

/// The API group of every kind.
pub const GROUP: &str = "statustargets.dev";
/// The version of every kind.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every kind: group and version.
pub const API_VERSION: &str = "statustargets.dev/v1alpha1";
