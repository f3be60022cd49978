//! Texts that occur again and again, kept once.

use std::{collections::HashSet, sync::Arc};

/// A shared text.
pub type Name = Arc<str>;

/// The texts in use. What nobody holds any more is dropped from time to time, so that it
/// never holds much more than twice what is in use.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: HashSet<Name>,
    sweep_at: usize,
}

impl Names {
    /// The shared copy of `text`.
    pub(super) fn get(&mut self, text: &str) -> Name {
        if let Some(name) = self.all.get(text) {
            return name.clone();
        }
        if self.all.len() >= self.sweep_at {
            self.all.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = (2 * self.all.len()).max(1024);
        }
        let name: Name = text.into();
        self.all.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use std::sync::Arc;

    #[test]
    fn equal_texts_are_kept_once_and_unused_ones_are_dropped() {
        let mut names = Names::default();
        let (a, b) = (names.get("compile"), names.get("compile"));
        assert!(Arc::ptr_eq(&a, &b));
        for i in 0..10_000 {
            names.get(&i.to_string());
        }
        assert!(names.all.len() < 3000, "{}", names.all.len());
        assert!(Arc::ptr_eq(&a, &names.get("compile")));
    }
}
