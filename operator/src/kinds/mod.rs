//! The kinds, as the operator sees them. One is a file here and a line in [`registry`].

mod gerrit_push;
mod github_status;
mod http_push;
mod index;
mod mail_notifier;
mod master;
mod registry;
mod status_push;
mod targets;
#[cfg(test)]
mod tests;
mod web_status;

pub(crate) use index::Key;
pub(crate) use registry::{Entry, Registry, TargetSeen, for_every_kind, master_of};
pub(crate) use targets::feed_url;

use crate::{
    children::{Child, Means, Parent},
    known::ResourceId,
    reconcile::{Around, Figures, Problem},
};
use crds::MasterRef;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Resource, ResourceExt as _};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt::Debug;

/// What all our resources are to a client of the API server.
pub(crate) trait Manifest:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<R> Manifest for R where
    R: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// A kind of resource.
pub(crate) trait Kind: Manifest {
    /// Part of names and labels: `feed`, `web`, `mail`, ….
    const COMPONENT: &'static str;
    /// The kind's name.
    const KIND: &'static str;
    /// Whether it sends, and so has a consumer and a peer.
    const SENDS: bool;

    /// The Master that it tells about; `None` for a Master itself.
    fn master_ref(&self) -> Option<&MasterRef>;

    /// What its feed knows it by.
    fn consumer(&self, master_namespace: &str) -> Option<String> {
        let own = self.namespace().unwrap_or_default();
        Some(consumer_name(Self::COMPONENT, &own, &self.name_any(), master_namespace))
    }

    /// Where people reach it, if it has pages.
    fn url(&self) -> Option<String> {
        None
    }

    /// What is wrong with it, whatever is around it.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// The objects that it needs.
    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, crate::KeyError>;

    /// The conditions that it has now.
    fn conditions(&self) -> &[Condition];

    /// Its status as it is now.
    fn present_status(&self) -> Value;

    /// Its status with these conditions and figures.
    fn status(&self, conditions: &[Condition], around: &Around, figures: Option<&Figures>)
    -> Value;

    /// The resource, as the parent of its objects.
    fn parent(&self) -> Parent {
        Parent {
            kind: Self::KIND,
            name: self.name_any(),
            namespace: self.namespace().unwrap_or_default(),
            uid: self.uid().unwrap_or_default(),
            component: Self::COMPONENT,
        }
    }
}

/// What the feed of a Master in `master_namespace` knows a resource by.
pub(crate) fn consumer_name(
    component: &str,
    namespace: &str,
    name: &str,
    master_namespace: &str,
) -> String {
    let kind = component.replace('-', "_");
    if namespace == master_namespace {
        format!("{kind}/{name}")
    } else {
        format!("{kind}/{namespace}/{name}")
    }
}

/// Which resource an object of a kind is, whether it can be read or not.
pub(crate) fn id_of<K: Kind>(object: &impl kube::ResourceExt) -> ResourceId {
    let (namespace, name) = key_of(object);
    ResourceId::new(K::KIND, &namespace, &name)
}

/// Namespace and name of an object.
pub(crate) fn key_of(object: &impl kube::ResourceExt) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// The port of an `http://` or `https://` address.
pub(crate) fn port_of(url: &str) -> Option<u16> {
    url.parse::<url::Url>().ok()?.port_or_known_default()
}
