//! Which resources name a Master, so that one of them is found without a look at all.

use std::collections::{BTreeSet, HashMap};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// Resources by the Master that they name.
#[derive(Debug, Default)]
pub(super) struct ByMaster {
    of: HashMap<Key, BTreeSet<Key>>,
    named: HashMap<Key, Key>,
}

impl ByMaster {
    /// A resource names this Master now, and no other.
    pub fn set(&mut self, resource: Key, master: Key) {
        if self.named.get(&resource) == Some(&master) {
            return;
        }
        self.remove(&resource);
        self.of.entry(master.clone()).or_default().insert(resource.clone());
        self.named.insert(resource, master);
    }

    /// A resource is gone, or names none.
    pub fn remove(&mut self, resource: &Key) {
        let Some(master) = self.named.remove(resource) else { return };
        if let Some(resources) = self.of.get_mut(&master) {
            resources.remove(resource);
            if resources.is_empty() {
                self.of.remove(&master);
            }
        }
    }

    /// Those that name a Master.
    pub fn of(&self, master: &Key) -> impl Iterator<Item = &Key> {
        self.of.get(master).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("ci".to_owned(), name.to_owned())
    }

    #[test]
    fn a_resource_is_found_by_the_master_that_it_names_last() {
        let mut index = ByMaster::default();
        let of = |index: &ByMaster, master: &str| {
            index.of(&key(master)).map(|(_, name)| name.clone()).collect::<Vec<_>>()
        };
        index.set(key("mail"), key("main"));
        index.set(key("pages"), key("main"));
        index.set(key("mail"), key("main"));
        assert_eq!(of(&index, "main"), ["mail", "pages"]);
        index.set(key("mail"), key("other"));
        assert_eq!(
            (of(&index, "main"), of(&index, "other")),
            (vec!["pages".into()], vec!["mail".into()])
        );
        index.remove(&key("pages"));
        index.remove(&key("mail"));
        assert!(index.of.is_empty() && index.named.is_empty());
    }
}
