//! Where the fields of a document stand, for what only shows once it is used.

use super::error::ManifestError;
use super::node::Node;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A document's file, and the places of its fields in it.
#[derive(Clone)]
pub struct Source {
    file: PathBuf,
    node: Arc<Node>,
}

/// Without what the document says.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.place(""))
    }
}

impl Source {
    pub(crate) fn new(file: &Path, node: Node) -> Self {
        Self { file: file.to_owned(), node: Arc::new(node) }
    }

    /// `FILE:LINE:COLUMN` of a field such as `spec.mode[2]`; of what holds it, where it is not there.
    pub fn place(&self, field: &str) -> String {
        let mark = self.node.field(field).mark;
        format!("{}:{}:{}", self.file.display(), mark.line, mark.column)
    }

    /// A mistake in the field at a path.
    pub(crate) fn error(&self, path: &[&str], message: String) -> ManifestError {
        let mark = self.node().at(path.iter().copied()).mark;
        ManifestError {
            file: self.file.clone(),
            line: mark.line,
            column: mark.column,
            field: path.join("."),
            message,
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }
}
