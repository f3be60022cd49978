//! Where secrets come from: a folder of files `NAME/KEY`, as the kubelet mounts them, and
//! `v1 Secret` documents among the manifests. Their values are never shown.

use crate::SecretKeyRef;
use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Kubernetes' own bound of a Secret.
const MAX_SIZE: u64 = 1 << 20;

/// A value that must not be seen: neither `Debug` nor `Display` shows it, and its memory is
/// cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes a value.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value, for the one place that sends it.
    pub fn expose_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, without the line end that editors and `echo` leave.
    ///
    /// # Errors
    /// [`SecretError::NotText`] when it is not UTF-8.
    pub fn expose(&self) -> Result<&str, SecretError> {
        let text = std::str::from_utf8(&self.0).map_err(|_| SecretError::NotText)?;
        Ok(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither a document nor a folder has that name.
    #[error("there is no Secret {name:?}{}", looked(.folder.as_deref()))]
    NoSecret {
        /// The Secret's name.
        name: String,
        /// The folder of secrets, if one was given.
        folder: Option<PathBuf>,
    },
    /// The Secret is there, without that key.
    #[error("the Secret {name:?} has no key {key:?}{}", others(.known))]
    NoKey {
        /// The Secret's name.
        name: String,
        /// The key that was asked for.
        key: String,
        /// The keys that it has.
        known: Vec<String>,
    },
    /// A name that could leave the folder.
    #[error("{0:?} can't be a file's name")]
    BadName(String),
    /// The value is not UTF-8 where text is needed.
    #[error("the value is not UTF-8 text")]
    NotText,
    /// The value is larger than Kubernetes allows.
    #[error("the value is larger than 1 MiB")]
    TooLarge,
    /// The file can't be read.
    #[error("can't read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn looked(folder: Option<&Path>) -> String {
    match folder {
        Some(folder) => {
            format!(": it is neither among the documents nor a folder in {}", folder.display())
        }
        None => ": it is not among the documents, and no folder of secrets was given".to_owned(),
    }
}

/// In a cluster the folder of a Secret that is missing is there, and empty.
fn others(known: &[String]) -> String {
    if known.is_empty() {
        ": it is empty, or not there at all".to_owned()
    } else {
        format!("; it has {}", known.join(", "))
    }
}

/// Secrets by name and key. Files are read anew each time, so a changed file counts at once;
/// a document wins over a folder of the same name.
#[derive(Clone, Debug, Default)]
pub struct SecretSource {
    documents: BTreeMap<String, BTreeMap<String, Secret>>,
    folder: Option<PathBuf>,
}

impl SecretSource {
    /// Secrets of a folder (`FOLDER/NAME/KEY`), if one is given.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { documents: BTreeMap::new(), folder }
    }

    /// Adds a Secret that a document holds.
    pub fn insert(&mut self, name: impl Into<String>, values: BTreeMap<String, Secret>) {
        self.documents.insert(name.into(), values);
    }

    /// The value that a reference names.
    ///
    /// # Errors
    /// When there is no such Secret or key, or its file can't be read.
    pub fn get(&self, reference: &SecretKeyRef) -> Result<Secret, SecretError> {
        let SecretKeyRef { name, key } = reference;
        if let Some(values) = self.documents.get(name) {
            return values.get(key).cloned().ok_or_else(|| SecretError::NoKey {
                name: name.clone(),
                key: key.clone(),
                known: values.keys().cloned().collect(),
            });
        }
        let no_secret =
            || SecretError::NoSecret { name: name.clone(), folder: self.folder.clone() };
        let folder = self.folder.as_deref().ok_or_else(no_secret)?.join(component(name)?);
        if !folder.is_dir() {
            return Err(no_secret());
        }
        let path = folder.join(component(key)?);
        if !path.is_file() {
            let known = keys(&folder);
            return Err(SecretError::NoKey { name: name.clone(), key: key.clone(), known });
        }
        read(&path)
    }
}

/// A name as one component of a path: `..` must not lead anywhere.
fn component(name: &str) -> Result<&str, SecretError> {
    let harmless =
        !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
    harmless.then_some(name).ok_or_else(|| SecretError::BadName(name.to_owned()))
}

/// The keys of a mounted Secret; the kubelet's own `..data` links are none.
fn keys(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("..")).take(100).collect();
    names.sort();
    names
}

fn read(path: &Path) -> Result<Secret, SecretError> {
    let fail = |source| SecretError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(fail)?;
    let mut value = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut value).map_err(fail)?;
    if value.len() as u64 > MAX_SIZE { Err(SecretError::TooLarge) } else { Ok(Secret::new(value)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Secret, SecretError, SecretSource};
    use crate::SecretKeyRef;
    use std::{collections::BTreeMap, fs};

    fn reference(name: &str, key: &str) -> SecretKeyRef {
        SecretKeyRef { name: name.into(), key: key.into() }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?} {secret}").contains("hunter2"));
        let source = SecretSource {
            documents: BTreeMap::from([("a".into(), BTreeMap::from([("k".into(), secret)]))]),
            folder: None,
        };
        assert!(!format!("{source:?}").contains("hunter2"));
    }

    #[test]
    fn a_folder_of_files_is_read_and_a_document_wins() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("smtp")).unwrap();
        fs::write(folder.path().join("smtp/password"), "from file\n").unwrap();
        let mut source = SecretSource::new(Some(folder.path().into()));
        let found = source.get(&reference("smtp", "password")).unwrap();
        assert_eq!(found.expose().unwrap(), "from file");
        source.insert("smtp", BTreeMap::from([("password".into(), Secret::new("from document"))]));
        let found = source.get(&reference("smtp", "password")).unwrap();
        assert_eq!(found.expose().unwrap(), "from document");
    }

    #[test]
    fn what_is_missing_is_named_and_no_name_leaves_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("smtp")).unwrap();
        fs::write(folder.path().join("smtp/password"), [0xff]).unwrap();
        fs::write(folder.path().join("outside"), "x").unwrap();
        let source = SecretSource::new(Some(folder.path().join("smtp")));
        assert!(matches!(
            source.get(&reference("..", "outside")),
            Err(SecretError::BadName(name)) if name == ".."
        ));
        let source = SecretSource::new(Some(folder.path().into()));
        let error = source.get(&reference("smtp", "pass")).unwrap_err().to_string();
        assert_eq!(error, "the Secret \"smtp\" has no key \"pass\"; it has password");
        fs::create_dir(folder.path().join("empty")).unwrap();
        let error = source.get(&reference("empty", "pass")).unwrap_err().to_string();
        assert!(
            error.ends_with("has no key \"pass\": it is empty, or not there at all"),
            "{error}"
        );
        let error = SecretSource::default().get(&reference("imap", "p")).unwrap_err().to_string();
        assert!(error.contains("no folder of secrets was given"), "{error}");
        let binary = source.get(&reference("smtp", "password")).unwrap();
        assert!(matches!(binary.expose(), Err(SecretError::NotText)));
    }
}
