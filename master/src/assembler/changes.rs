//! Changes: which belong to a build.

use super::{Assembler, Need, seen};
use model::{BuildId, Change, ChangeId, Event};
use std::collections::BTreeMap;

/// The newest change of each codebase.
pub(crate) fn heads(changes: &[Change]) -> BTreeMap<String, ChangeId> {
    let mut heads = BTreeMap::new();
    for change in changes {
        let head = heads.entry(change.codebase.clone()).or_insert(change.id);
        *head = change.id.max(*head);
    }
    heads
}

/// The changes since the newest change that an earlier build had, oldest first.
///
/// The master's list goes back to the last success, along the parents of each codebase's
/// head, so all of a codebase are of one branch. An earlier build with the very same head
/// (a retry, a rebuild) had the same changes, and takes none away.
pub(crate) fn cut<'a>(
    mut changes: Vec<Change>,
    earlier: impl Iterator<Item = &'a BTreeMap<String, ChangeId>>,
) -> Vec<Change> {
    changes.sort_by_key(|c| c.id);
    changes.dedup_by_key(|c| c.id);
    let heads = heads(&changes);
    let mut floor: BTreeMap<String, ChangeId> = BTreeMap::new();
    for before in earlier {
        for (codebase, head) in before {
            let listed = || changes.iter().any(|c| c.id == *head && c.codebase == *codebase);
            if heads.get(codebase).is_some_and(|own| own != head) && listed() {
                let floor = floor.entry(codebase.clone()).or_insert(*head);
                *floor = (*head).max(*floor);
            }
        }
    }
    changes.retain(|c| floor.get(&c.codebase).is_none_or(|floor| c.id > *floor));
    changes
}

impl Assembler {
    /// A change, of a frame or a list.
    pub(super) fn change(&mut self, change: Change) {
        let h = &mut self.world.highest;
        if seen::is_seen(h.change.0, h.seen_changes, change.id.0) {
            return;
        }
        seen::mark(&mut h.change.0, &mut h.seen_changes, change.id.0);
        self.effects.dirty.meta = true;
        self.emit(Event::ChangeAdded { change: Box::new(change) });
    }

    /// The changes of a build, back to the last success.
    pub(super) fn changes(&mut self, id: BuildId, changes: Vec<Change>) {
        self.asked.remove(&Need::Changes(id));
        let Some((draft, _)) = self.draft(id) else { return };
        if draft.changes.is_none() {
            draft.changes = Some(changes);
            self.advance_build(id);
        }
    }

    /// The changes that a repeated build's source stamps are made of: the master lists none
    /// when the build that is repeated was a success.
    pub(super) fn stamp_changes(&mut self, id: BuildId, changes: Vec<Change>) {
        self.asked.retain(|need| !matches!(need, Need::StampChanges(build, _) if *build == id));
        let Some((draft, _)) = self.draft(id) else { return };
        if !draft.stamps {
            draft.stamps = true;
            draft.changes.get_or_insert_default().extend(changes);
            self.advance_build(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, heads};
    use model::{Change, ChangeId};
    use std::collections::BTreeMap;

    fn change(id: u64, codebase: &str) -> Change {
        Change { id: ChangeId(id), codebase: codebase.into(), ..Change::default() }
    }

    fn ids(changes: &[Change]) -> Vec<u64> {
        changes.iter().map(|c| c.id.0).collect()
    }

    fn head(id: u64) -> BTreeMap<String, ChangeId> {
        heads(&[change(id, "")])
    }

    #[test]
    fn changes_begin_after_the_head_of_the_build_before_oldest_first() {
        let list = vec![change(4, ""), change(3, ""), change(2, "")];
        let before = [head(2), head(3)];
        assert_eq!(ids(&cut(list, before.iter())), [4]);
    }

    #[test]
    fn a_rebuild_of_the_same_head_keeps_its_changes() {
        let list = vec![change(4, ""), change(3, ""), change(2, "")];
        let before = [head(2), head(4), head(4)];
        assert_eq!(ids(&cut(list, before.iter())), [3, 4]);
    }

    #[test]
    fn heads_of_another_branch_or_codebase_cut_nothing() {
        let list = vec![change(9, "app"), change(7, "app"), change(8, "lib")];
        let before = [heads(&[change(8, "app")]), heads(&[change(7, "lib"), change(5, "app")])];
        assert_eq!(ids(&cut(list, before.iter())), [7, 8, 9]);
    }
}
