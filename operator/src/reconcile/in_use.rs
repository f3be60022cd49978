//! A Master that resources name is not torn from under them: a finalizer keeps it until they are
//! gone.

use super::dereference::Around;
use crate::{context::Context, error::Error, kinds::Kind, names};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

/// Whether a resource that is being deleted is still kept.
pub(super) fn keeps<K: Kind>(resource: &K) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == names::IN_USE)
}

/// Sets the finalizer, or takes it away once nobody names the Master. Returns whether the resource
/// is gone.
pub(super) async fn settle<K: Kind>(
    resource: &K,
    around: &Around,
    context: &Context,
) -> Result<bool, Error> {
    if resource.master_ref().is_some() {
        return Ok(false);
    }
    let ending = resource.meta().deletion_timestamp.is_some();
    let mut finalizers = resource.finalizers().to_vec();
    match (ending, keeps(resource)) {
        (true, true) if around.targets.is_empty() && around.unreadable.is_empty() => {
            finalizers.retain(|f| f != names::IN_USE);
        }
        (false, false) => finalizers.push(names::IN_USE.to_owned()),
        _ => return Ok(false),
    }
    context.may_write()?;
    let namespace = resource.namespace().unwrap_or_default();
    let api: Api<K> = Api::namespaced(context.client.clone(), &namespace);
    // With the version, so that a change by somebody else meanwhile is not undone.
    let patch = json!({ "metadata": {
        "resourceVersion": resource.resource_version(),
        "finalizers": finalizers,
    } });
    match api.patch(&resource.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(ending),
        // Gone already.
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(true),
        Err(error) => Err(Error::api("the finalizer could not be changed")(error)),
    }
}
