//! Applies that are under way. Their answers and what the watch tells come in no order: an object may
//! have gone before the answer that it is there is read.

use super::{ChildId, Inner, Known, ResourceId, Workload, version};
use kube::core::ObjectMeta;

/// The applies of one object.
#[derive(Debug)]
pub(super) struct UnderWay {
    count: usize,
    owner: ResourceId,
    /// The version at which the object went meanwhile, if it did.
    gone: Option<u64>,
}

/// An apply that is under way.
#[must_use]
pub struct Applying<'a> {
    known: &'a Known,
    id: ChildId,
}

impl Known {
    /// Begins an apply of an object for its resource.
    pub fn applying(&self, id: &ChildId, owner: &ResourceId) -> Applying<'_> {
        let none = || UnderWay { count: 0, owner: owner.clone(), gone: None };
        self.lock().applying.entry(id.clone()).or_insert_with(none).count += 1;
        Applying { known: self, id: id.clone() }
    }
}

impl Applying<'_> {
    /// Notes the answer, unless the object has gone since; whoever told so has its resource
    /// reconciled.
    pub fn answered(self, metadata: &ObjectMeta, workload: Option<Workload>) {
        let mut inner = self.known.lock();
        let gone = inner.applying.get(&self.id).and_then(|under_way| under_way.gone);
        if gone.is_none_or(|gone| version(metadata).is_some_and(|answered| answered > gone)) {
            inner.note(self.id.kind, metadata, workload);
        }
    }
}

impl Drop for Applying<'_> {
    fn drop(&mut self) {
        let mut inner = self.known.lock();
        if let Some(under_way) = inner.applying.get_mut(&self.id) {
            under_way.count -= 1;
            if under_way.count == 0 {
                inner.applying.remove(&self.id);
            }
        }
    }
}

impl Inner {
    /// Notes that an object went at a version, `None` if that is not known, while it is applied.
    /// Returns the resource that it is applied for.
    pub(super) fn gone_meanwhile(
        &mut self,
        id: &ChildId,
        version: Option<u64>,
    ) -> Option<ResourceId> {
        let under_way = self.applying.get_mut(id)?;
        under_way.gone = under_way.gone.max(Some(version.unwrap_or(u64::MAX)));
        Some(under_way.owner.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::children::ChildKind;
    use std::collections::HashSet;

    fn at(version: u64) -> ObjectMeta {
        ObjectMeta {
            name: Some("buildbot-mail-a".to_owned()),
            namespace: Some("ci".to_owned()),
            uid: Some("u1".to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn an_object_that_went_before_the_answer_to_its_apply_was_read_is_gone() {
        let (known, owner) = (Known::default(), ResourceId::new("MailNotifier", "ci", "a"));
        let id = ChildId {
            kind: ChildKind::PodMonitor,
            namespace: "ci".into(),
            name: "buildbot-mail-a".into(),
        };
        let applying = known.applying(&id, &owner);
        assert_eq!(known.gone(id.kind, &at(9)), Some(owner.clone()));
        applying.answered(&at(8), None);
        assert!(known.get(&id).is_none());

        // What went was an earlier one.
        let applying = known.applying(&id, &owner);
        known.gone(id.kind, &at(9));
        applying.answered(&at(10), None);
        assert!(known.get(&id).is_some());

        // A list does not say as of when.
        let applying = known.applying(&id, &owner);
        let unlisted = known.keep_only(id.kind, None, &HashSet::new());
        assert_eq!(unlisted, [owner]);
        applying.answered(&at(11), None);
        assert!(known.get(&id).is_none());
        assert!(known.lock().applying.is_empty());
    }
}
