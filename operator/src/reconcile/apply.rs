//! Brings a resource's objects to what is wanted, by server-side apply. What is so already costs no
//! request; what is not wanted any more is deleted.

use crate::{
    children::{Child, ChildKind},
    context::{Context, is_own},
    error::Error,
    kinds::Kind,
    known::{self, ChildId, ResourceId},
    names,
};
use crds::Size;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions, ValidationDirective},
};
use serde_json::Value;

/// Applies what is wanted in order, then deletes the rest.
pub(super) async fn apply<K: Kind>(
    resource: &K,
    id: &ResourceId,
    children: Vec<Child>,
    context: &Context,
) -> Result<(), Error> {
    let mut children = children;
    children.sort_by_key(|child| child.kind);
    let uid = resource.uid().unwrap_or_default();
    let mut refused = None;
    for child in &children {
        match one::<K>(child, id, &uid, context).await {
            // A volume that can't be as it is wanted is no reason to leave the feed as it was.
            Err(error @ Error::Refused { .. })
                if child.kind == ChildKind::PersistentVolumeClaim =>
            {
                refused = Some(error);
            }
            done => done?,
        }
    }
    for orphan in context.known.of(id) {
        let wanted = children.iter().any(|c| c.kind == orphan.kind && *c.name == *orphan.name);
        // A volume is the user's data: it goes with its resource, never before.
        if !wanted && orphan.kind != ChildKind::PersistentVolumeClaim {
            delete(&orphan, &uid, DeleteParams::background(), context).await?;
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Takes from a resource what reads its Master's feed: its pods and its token.
pub(super) async fn withdraw<K: Kind>(
    resource: &K,
    id: &ResourceId,
    context: &Context,
) -> Result<(), Error> {
    let uid = resource.uid().unwrap_or_default();
    let mut children = context.known.of(id);
    // Pods first, for they mount the token.
    children.sort_by_key(|child| std::cmp::Reverse(child.kind));
    for child in children {
        if matches!(child.kind, ChildKind::Deployment | ChildKind::Secret) {
            delete(&child, &uid, DeleteParams::background(), context).await?;
        }
    }
    Ok(())
}

async fn one<K: Kind>(
    wanted: &Child,
    id: &ResourceId,
    uid: &str,
    context: &Context,
) -> Result<(), Error> {
    let child = ChildId {
        kind: wanted.kind,
        namespace: id.namespace.clone(),
        name: wanted.name.as_str().into(),
    };
    let hash = names::hash(&wanted.body.to_string());
    if context.known.holds(&child, wanted, &hash) {
        context.metrics.applied(wanted.kind, "unchanged");
        return Ok(());
    }
    let mut body = wanted.body.clone();
    body["metadata"]["annotations"][names::APPLIED] = Value::String(hash);
    // What is the resource's own already may have been changed by others; what is not known may be
    // somebody else's, and an apply alone does not tell: other fields are no conflict.
    let ours = match context.known.get(&child) {
        Some(seen) => {
            let is_volume = wanted.kind == ChildKind::PersistentVolumeClaim;
            seen.belongs_to(uid) || (is_volume && seen.was_kept_for(K::COMPONENT, &id.name))
        }
        None => match standing(&child, uid, context).await? {
            Standing::Absent | Standing::Labelled => false,
            Standing::Ours => true,
            Standing::Theirs => return Err(taken(wanted, context)),
        },
    };
    if ours && is_stuck(&child, context) {
        // Its pod goes first, so that the next one finds its name and its volume free.
        delete(&child, uid, DeleteParams::foreground(), context).await?;
        return Err(Error::MadeAnew { kind: wanted.kind.name(), name: wanted.name.clone() });
    }
    if wanted.kind == ChildKind::PersistentVolumeClaim {
        keep_size(&mut body, &child, context).await?;
    }
    let applying = context.known.applying(&child, id);
    let mut done = patch(wanted, &body, &child, ours, context).await;
    if let Err(kube::Error::Api(refusal)) = &done
        && refusal.code == 409
        && !ours
    {
        if !matches!(standing(&child, uid, context).await?, Standing::Ours) {
            return Err(taken(wanted, context));
        }
        done = patch(wanted, &body, &child, true, context).await;
    }
    match done {
        Ok(object) => {
            context.metrics.applied(wanted.kind, "applied");
            let workload = wanted.kind.has_pods().then(|| known::workload(&object));
            applying.answered(&object.metadata, workload);
            Ok(())
        }
        Err(error) => Err(failed(wanted, error, context)),
    }
}

/// Asks for no less than a volume has: it can grow, and never shrink.
async fn keep_size(wanted: &mut Value, child: &ChildId, context: &Context) -> Result<(), Error> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &child.namespace);
    let found = api.get_opt(&child.name).await;
    let found = found.map_err(Error::api(format!("{} {}", child.kind.name(), child.name)))?;
    let requests = found.and_then(|claim| claim.spec?.resources?.requests);
    let Some(has) = requests.and_then(|mut requests| requests.remove("storage")) else {
        return Ok(());
    };
    let storage = &mut wanted["spec"]["resources"]["requests"]["storage"];
    let bytes = |size: &str| size.parse::<Size>().map(Size::bytes).ok();
    // One that somebody wrote in a form that is not read here stays as it is.
    if bytes(&has.0).is_none_or(|has| storage.as_str().and_then(bytes).is_none_or(|w| has > w)) {
        *storage = Value::String(has.0);
    }
    Ok(())
}

/// Whether a set waits for a pod that is not ready. It would wait for ever, whatever its new form is:
/// Kubernetes replaces no pod in order that never got ready.
fn is_stuck(child: &ChildId, context: &Context) -> bool {
    let workload = context.known.get(child).and_then(|seen| seen.workload);
    child.kind == ChildKind::StatefulSet
        && workload.is_some_and(|pods| pods.observed && pods.wanted > 0 && pods.ready == 0)
}

async fn patch(
    wanted: &Child,
    body: &Value,
    child: &ChildId,
    force: bool,
    context: &Context,
) -> Result<known::Object, kube::Error> {
    if context.may_write().is_err() {
        return Err(kube::Error::Service("not the leader any more".into()));
    }
    let params = PatchParams {
        force,
        field_manager: Some(names::MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let api = context.api(wanted.kind, &child.namespace);
    api.patch(&wanted.name, &params, &Patch::Apply(body)).await
}

/// Whose an object is that has the name of one that is wanted.
enum Standing {
    /// There is none.
    Absent,
    /// The resource's.
    Ours,
    /// The operator's, of no resource or of one that is gone.
    Labelled,
    /// Somebody else's.
    Theirs,
}

/// Asks the API server whose an object is.
async fn standing(child: &ChildId, uid: &str, context: &Context) -> Result<Standing, Error> {
    let api = context.api(child.kind, &child.namespace);
    let mut found = api.get_metadata_opt(&child.name).await;
    if let Err(kube::Error::Api(refusal)) = &found
        && refusal.code == 403
    {
        // Where Secrets may be written and not be read, a change that changes nothing, and is not
        // made, shows it.
        context.may_write()?;
        let trial = PatchParams { dry_run: true, ..PatchParams::default() };
        let nothing = Patch::Merge(serde_json::json!({}));
        found = match api.patch_metadata(&child.name, &trial, &nothing).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => Ok(None),
            Err(error) => Err(error),
        };
    }
    let found = found.map_err(Error::api(format!("{} {}", child.kind.name(), child.name)))?;
    let Some(metadata) = found.map(|object| object.metadata) else { return Ok(Standing::Absent) };
    let owner = known::owner(&child.namespace, &metadata);
    Ok(match owner {
        Some((_, owner)) if &*owner == uid => Standing::Ours,
        _ if is_own(metadata.labels.as_ref()) => Standing::Labelled,
        _ => Standing::Theirs,
    })
}

/// Somebody else's object is in the way.
fn taken(wanted: &Child, context: &Context) -> Error {
    context.metrics.applied(wanted.kind, "conflict");
    Error::Taken { kind: wanted.kind.name(), name: wanted.name.clone() }
}

/// Sorts failures: what a change of the resource may mend, and what may pass by itself.
fn failed(wanted: &Child, error: kube::Error, context: &Context) -> Error {
    context.metrics.applied(wanted.kind, "error");
    if wanted.kind.is_optional()
        && matches!(&error, kube::Error::Api(refusal) if refusal.code == 404)
    {
        // The kind may be gone. When that is known, all is reconciled without it.
        context.doubts.note();
    }
    let (kind, name) = (wanted.kind.name(), wanted.name.clone());
    match error {
        kube::Error::Api(refusal) if refuses(&refusal) => {
            Error::Refused { kind, name, message: refusal.message.clone() }
        }
        other => Error::api(format!("{kind} {name:?} could not be applied"))(other),
    }
}

/// Whether an answer says that the object is wrong. An unknown field of a server-side apply is
/// answered with 500, which says of anything else that it may pass by itself.
fn refuses(refusal: &kube::core::Status) -> bool {
    matches!(refusal.code, 400 | 403 | 422)
        || (refusal.code == 500 && refusal.message.contains("typed patch object"))
}

async fn delete(
    child: &ChildId,
    uid: &str,
    how: DeleteParams,
    context: &Context,
) -> Result<(), Error> {
    let Some(seen) = context.known.get(child).filter(|seen| seen.belongs_to(uid)) else {
        return Ok(());
    };
    context.may_write()?;
    let only = Preconditions { uid: Some(seen.uid.to_string()), ..Preconditions::default() };
    let params = DeleteParams { preconditions: Some(only), ..how };
    match context.api(child.kind, &child.namespace).delete(&child.name, &params).await {
        Ok(_) => {
            context.metrics.deleted(child.kind);
            Ok(())
        }
        // Gone, or another by now.
        Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
        Err(error) => {
            let what = format!("{} {:?} could not be deleted", child.kind.name(), child.name);
            Err(Error::api(what)(error))
        }
    }
}
