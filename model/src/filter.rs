//! Which builders and branches a target or a page is about.

use crate::Build;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name by which an argument means "no branch".
pub const TRUNK: &str = "trunk";

/// Builders by name or category, and branches. An empty list lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Selection {
    /// Names of builders.
    pub builders: Vec<String>,
    /// Categories: a builder's tags.
    pub categories: Vec<String>,
    /// Branches; [`TRUNK`] also means a source stamp without a branch.
    pub branches: Vec<String>,
}

impl Selection {
    /// Whether a builder is selected.
    pub fn builder(&self, name: &str, tags: &[String]) -> bool {
        (self.builders.is_empty() || self.builders.iter().any(|b| b == name))
            && (self.categories.is_empty() || self.categories.iter().any(|c| tags.contains(c)))
    }

    /// Whether a branch is selected.
    pub fn branch(&self, branch: Option<&str>) -> bool {
        self.branches.is_empty()
            || self.branches.iter().any(|wanted| {
                branch.map_or(wanted == TRUNK, |b| b == wanted || (b.is_empty() && wanted == TRUNK))
            })
    }

    /// Whether a build's builder is selected, and one of its source stamps' branches.
    pub fn build(&self, build: &Build) -> bool {
        self.builder(build.builder.name.as_str(), &build.builder.tags)
            && (self.branches.is_empty() || build.branches().any(|b| self.branch(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn w06_trunk_means_no_branch_and_a_branch_of_that_name() {
        let s = Selection { branches: vec!["trunk".into()], ..Selection::default() };
        assert!(s.branch(None) && s.branch(Some("trunk")) && s.branch(Some("")));
        assert!(!s.branch(Some("master")));
    }

    #[test]
    fn c01_categories_are_tags_and_an_empty_list_lets_all_pass() {
        let s =
            Selection { categories: vec!["unit".into(), "docs".into()], ..Selection::default() };
        assert!(s.builder("a", &["docs".into()]));
        assert!(!s.builder("a", &["release".into()]));
        assert!(!s.builder("a", &[]));
        assert!(Selection::default().builder("a", &[]));
    }
}
