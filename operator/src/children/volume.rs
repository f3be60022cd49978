//! The volume of a journal.

use super::{Child, ChildKind, Parent};
use crds::{MasterSpec, MasterStorage};
use serde_json::json;

/// The claim of a journal's volume; `None` for an ephemeral one.
///
/// It is a claim of its own, not a template of the StatefulSet, so that its size can be changed and
/// it goes with the Master, or stays if `retain` says so.
pub(crate) fn volume_claim(parent: &Parent, spec: &MasterSpec) -> Option<Child> {
    let MasterStorage { class_name, ephemeral, retain, .. } = &spec.storage;
    if *ephemeral {
        return None;
    }
    let size = spec.storage.size_for(spec.journal.max_size);
    let mut claim = json!({
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": size } },
        },
    });
    if let Some(class) = class_name {
        claim["spec"]["storageClassName"] = class.as_str().into();
    }
    let mut child = parent.child(ChildKind::PersistentVolumeClaim, claim);
    if *retain {
        // Without an owner nothing deletes it.
        child.body["metadata"]["ownerReferences"] = json!([]);
    }
    Some(child)
}
