//! Where code comes from: changes, source stamps, patches.

use crate::{ChangeId, Properties, SourceStampId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One change of the source: `/api/v2/changes/N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Change {
    /// Its number in `/changes/NN`.
    pub id: ChangeId,
    /// Who wrote it: `Name <mail>` or any other text of the version control system.
    pub author: String,
    /// Who committed it, where the master knows.
    pub committer: Option<String>,
    /// The commit message.
    pub comments: String,
    /// Branch; `None` is the trunk.
    pub branch: Option<String>,
    /// Revision; some hooks give none.
    pub revision: Option<String>,
    /// A page about the revision.
    pub revlink: Option<String>,
    /// When it was made.
    pub when: Timestamp,
    /// The change's own category.
    pub category: Option<String>,
    /// Repository, as the change source names it.
    pub repository: String,
    /// Codebase; `""` is the default.
    pub codebase: String,
    /// Project; may be `""`.
    pub project: String,
    /// Files that it touches.
    pub files: Vec<String>,
    /// The change's properties.
    pub properties: Properties,
    /// The source stamp that the master made of it.
    pub source_stamp: SourceStampId,
}

impl Change {
    /// The author without the mail address: `Ann` of `Ann <ann@example.org>`.
    pub fn author_name(&self) -> &str {
        short_name(&self.author)
    }

    /// The first line of the comments.
    pub fn subject(&self) -> &str {
        self.comments.lines().next().unwrap_or_default()
    }
}

/// The name in `Name <mail>`; the whole text where there is no name.
pub fn short_name(who: &str) -> &str {
    match who.split_once('<') {
        Some((name, _)) if !name.trim().is_empty() => name.trim(),
        _ => who.trim(),
    }
}

/// What a build was made from, one for each codebase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SourceStamp {
    /// Its key.
    pub id: SourceStampId,
    /// Branch; `None` is the trunk.
    pub branch: Option<String>,
    /// Requested revision; `None` is the most recent.
    pub revision: Option<String>,
    /// Repository.
    pub repository: String,
    /// Project.
    pub project: String,
    /// Codebase; `""` is the default.
    pub codebase: String,
    /// The patch of a try build.
    pub patch: Option<Patch>,
}

/// A patch that a try build applies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Patch {
    /// Its key.
    pub id: u64,
    /// The diff.
    pub body: String,
    /// `-p` of `patch`.
    pub level: i64,
    /// Directory it applies to.
    pub subdir: String,
    /// Who sent it.
    pub author: String,
    /// What they said of it.
    pub comment: String,
}
