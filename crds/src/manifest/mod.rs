//! Reads manifests: the same documents that a cluster takes, from files.
//!
//! Each document goes through what an API server does (nulls dropped, defaults filled in, the
//! schema and its CEL rules) and through what only a reader of all documents can see (names that
//! must exist). All mistakes of all files are reported, each with its place:
//! `status.yaml:14:9: spec.mode[2]: "failling" is not one of change, …; did you mean "failing"?`

mod document;
mod error;
mod node;
mod references;
mod rules;
mod scalar;
mod source;
mod tree;
mod validate;

pub use error::ManifestError;
pub use kube::core::ObjectMeta;
pub use source::Source;

use crate::secrets::SecretSource;
use crate::{
    Definition, GerritPush, GitHubStatus, HttpPush, MailNotifier, Master, MasterRef, StatusPush,
    WebStatus,
};
use document::Found;
use error::Mistake;
use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};
pub(crate) use validate::takes_booleans;

/// The largest file that is read.
pub const MAX_FILE: u64 = 1 << 20;
/// A file's further mistakes are counted only.
const MAX_MISTAKES: usize = 100;

/// A document of one of this program's kinds.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line where the document begins, from 1.
    pub line: usize,
    /// What it says, with defaults filled in.
    pub resource: Resource,
    /// Where its fields stand.
    pub source: Source,
}

/// One of the kinds.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // few of them, held for long
pub enum Resource {
    /// A master to follow.
    Master(Master),
    /// Pages.
    WebStatus(WebStatus),
    /// Mail.
    MailNotifier(MailNotifier),
    /// Pushes.
    HttpPush(HttpPush),
    /// Pushes to a program.
    StatusPush(StatusPush),
    /// Reviews.
    GerritPush(GerritPush),
    /// Statuses of commits.
    GitHubStatus(GitHubStatus),
}

impl Resource {
    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Master(_) => "Master",
            Self::WebStatus(_) => "WebStatus",
            Self::MailNotifier(_) => "MailNotifier",
            Self::HttpPush(_) => "HttpPush",
            Self::StatusPush(_) => "StatusPush",
            Self::GerritPush(_) => "GerritPush",
            Self::GitHubStatus(_) => "GitHubStatus",
        }
    }

    /// The object's name, unique within kind and namespace.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The object's namespace, if the document has one.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata().namespace.as_deref()
    }

    /// The Master that a target tells about; `None` for a Master.
    pub fn master(&self) -> Option<&MasterRef> {
        match self {
            Self::Master(_) => None,
            Self::WebStatus(page) => Some(&page.spec.master_ref),
            Self::MailNotifier(mail) => Some(&mail.spec.master_ref),
            Self::HttpPush(push) => Some(&push.spec.master_ref),
            Self::StatusPush(push) => Some(&push.spec.master_ref),
            Self::GerritPush(push) => Some(&push.spec.master_ref),
            Self::GitHubStatus(github) => Some(&github.spec.master_ref),
        }
    }

    /// The object's name, labels and so on.
    pub fn metadata(&self) -> &kube::core::ObjectMeta {
        match self {
            Self::Master(object) => &object.metadata,
            Self::WebStatus(object) => &object.metadata,
            Self::MailNotifier(object) => &object.metadata,
            Self::HttpPush(object) => &object.metadata,
            Self::StatusPush(object) => &object.metadata,
            Self::GerritPush(object) => &object.metadata,
            Self::GitHubStatus(object) => &object.metadata,
        }
    }
}

/// A document that was skipped, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line where the document begins, from 1.
    pub line: usize,
    /// Why it was skipped.
    pub message: String,
}

/// Everything that the manifests say.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The documents, in the order of files and lines.
    pub documents: Vec<Document>,
    /// Secrets from documents and from the folder.
    pub secrets: SecretSource,
    /// Documents that were skipped: other programs' kinds.
    pub notes: Vec<Note>,
}

/// How manifests are read.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// A folder of secrets, as files `NAME/KEY`.
    pub secrets: Option<PathBuf>,
    /// Lets Secrets be missing: for looking at manifests where their secrets are not at hand.
    pub without_secrets: bool,
    /// Lets the Master that a target names be missing: where its feed is read elsewhere.
    pub without_masters: bool,
}

/// Reads files and folders. Of a folder, the files `*.yaml`, `*.yml` and `*.json` are read in
/// the order of their names; folders within are not.
///
/// # Errors
/// Every mistake in every file, in the order of files and lines.
pub fn load(
    paths: &[impl AsRef<Path>],
    options: &LoadOptions,
) -> Result<Manifests, Vec<ManifestError>> {
    let definitions = crate::definitions()
        .map_err(|error| vec![ManifestError::whole("", format!("no definitions: {error}"))])?;
    let mut reader = Reader {
        definitions,
        files: Vec::new(),
        seen: HashMap::new(),
        documents: Vec::new(),
        masters: Vec::new(),
        notes: Vec::new(),
        errors: Vec::new(),
        unreadable: false,
        secrets: SecretSource::new(options.secrets.clone()),
    };
    for path in paths {
        match files(path.as_ref()) {
            Ok(files) => {
                let named = !path.as_ref().is_dir();
                files.into_iter().for_each(|file| reader.file(file, named));
            }
            Err(error) => reader.errors.push(error),
        }
    }
    reader.finish(options)
}

struct Reader {
    definitions: Vec<Definition>,
    files: Vec<PathBuf>,
    seen: HashMap<document::ObjectId, String>,
    documents: Vec<Document>,
    masters: Vec<references::Wanted>,
    notes: Vec<Note>,
    errors: Vec<ManifestError>,
    unreadable: bool,
    secrets: SecretSource,
}

impl Reader {
    /// Reads a file; `named` is one that was asked for by its own name.
    fn file(&mut self, file: PathBuf, named: bool) {
        self.one(&file, named);
        self.files.push(file);
    }

    fn one(&mut self, file: &Path, named: bool) {
        let text = match read(file) {
            Ok(text) => text,
            Err(message) => {
                self.unreadable = true;
                return self.errors.push(ManifestError::whole(file, message));
            }
        };
        let (documents, mut mistakes) = tree::documents(&text);
        self.unreadable |= !mistakes.is_empty();
        if mistakes.is_empty() && documents.iter().all(node::Node::is_null) {
            let message =
                "holds no document: it is empty, or all of it is commented out".to_owned();
            match named {
                true => self.errors.push(ManifestError::whole(file, message)),
                // As kubectl, which minds such a file only if there is no other.
                false => self.notes.push(Note { file: file.into(), line: 1, message }),
            }
            return;
        }
        for node in documents.into_iter().flat_map(document::unfold) {
            match document::read(node, &self.definitions, &mut mistakes) {
                Found::Own { id, mark, node, resource } => {
                    self.name(&id, file, &node, &mut mistakes);
                    self.masters.extend(references::Wanted::of(file, &id.namespace, &node));
                    if let Some(resource) = resource {
                        let source = Source::new(file, node);
                        let (file, line) = (file.to_owned(), mark.line);
                        self.documents.push(Document { file, line, resource: *resource, source });
                    }
                }
                Found::Secret { id, mark, values } => {
                    let place = format!("{}:{}", file.display(), mark.line);
                    if let Some(message) = references::twice(&mut self.seen, &id, place) {
                        mistakes.push(Mistake::new(mark, "metadata.name", message));
                    }
                    self.secrets.insert(id.name, values);
                }
                Found::Other { mark, note } => {
                    let (file, line) = (file.to_owned(), mark.line);
                    self.notes.push(Note { file, line, message: note });
                }
                Found::Nothing => {}
            }
        }
        self.mistakes(file, mistakes);
    }

    fn name(
        &mut self,
        id: &document::ObjectId,
        file: &Path,
        node: &node::Node,
        mistakes: &mut Vec<Mistake>,
    ) {
        let mark = node.at(["metadata", "name"]).mark;
        let place = format!("{}:{}", file.display(), mark.line);
        if let Some(message) = references::twice(&mut self.seen, id, place) {
            mistakes.push(Mistake::new(mark, "metadata.name", message));
        }
    }

    fn mistakes(&mut self, file: &Path, mut mistakes: Vec<Mistake>) {
        mistakes.sort_by_key(|mistake| mistake.mark);
        let more = mistakes.len().saturating_sub(MAX_MISTAKES);
        for Mistake { mark, field, message } in mistakes.into_iter().take(MAX_MISTAKES) {
            let (line, column) = (mark.line, mark.column);
            self.errors.push(ManifestError { file: file.into(), line, column, field, message });
        }
        if more > 0 {
            self.errors.push(ManifestError::whole(file, format!("and {more} more mistakes")));
        }
    }

    fn finish(mut self, options: &LoadOptions) -> Result<Manifests, Vec<ManifestError>> {
        let declared: Vec<_> = self.seen.keys().cloned().collect();
        let mut errors = references::ports(&self.documents);
        // A file that is no YAML may hold the Master that a target names.
        if !self.unreadable && !options.without_masters {
            errors.extend(references::masters(self.masters, &declared));
        }
        errors.extend(references::patterns(&self.documents));
        if !options.without_secrets {
            errors.extend(references::secrets(&self.documents, &self.secrets));
        }
        self.errors.extend(errors);
        if !self.errors.is_empty() {
            // What is about the whole file comes last: "and 7 more mistakes".
            self.errors.sort_by_cached_key(|error| {
                let file = self.files.iter().position(|file| *file == error.file);
                (file.unwrap_or(usize::MAX), error.line.wrapping_sub(1), error.column)
            });
            return Err(self.errors);
        }
        Ok(Manifests { documents: self.documents, secrets: self.secrets, notes: self.notes })
    }
}

/// The files of a path: itself, or a folder's manifests.
fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let fail = |error: std::io::Error| {
        ManifestError::whole(path, format!("the folder can't be read: {error}"))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        let manifest = file
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e == "yml" || e == "json");
        if manifest && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let message = "the folder holds no file *.yaml, *.yml or *.json".to_owned();
        return Err(ManifestError::whole(path, message));
    }
    Ok(files)
}

fn read(file: &Path) -> Result<String, String> {
    let open = fs::File::open(file).map_err(|error| format!("can't be read: {error}"))?;
    let mut bytes = Vec::new();
    open.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("can't be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is larger than 1 MiB, the most that is read of a file".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}
