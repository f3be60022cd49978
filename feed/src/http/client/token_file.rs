//! The token that every request carries, from a file that may be replaced at any time.

use crate::http::token::{TokenError, subject};
use reqwest::header::HeaderValue;
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::SystemTime,
};

/// Reads a token when the file has changed.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, HeaderValue)>>,
}

/// What changes with the file: a Secret's volume swaps links, an editor writes in place.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: SystemTime,
}

impl TokenFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), last: Mutex::new(None) }
    }

    /// The value of `Authorization`. The error is in plain words.
    pub(super) fn header(&self) -> Result<HeaderValue, String> {
        let failed = |error: io::Error| format!("the token in {}: {error}", self.path.display());
        let mut last = self.lock();
        let found = fs::metadata(&self.path).map_err(failed)?;
        let modified = found.modified().map_err(failed)?;
        let stamp = Stamp { inode: found.ino(), bytes: found.len(), modified };
        if let Some((known, header)) = &*last
            && *known == stamp
        {
            return Ok(header.clone());
        }
        let token = fs::read_to_string(&self.path).map_err(failed)?;
        // The error could show the value, so it is not told.
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| format!("the file {} holds no token", self.path.display()))?;
        header.set_sensitive(true);
        *last = Some((stamp, header.clone()));
        Ok(header)
    }

    /// The name that the token is for.
    pub(super) fn subject(&self) -> Result<String, String> {
        let header = self.header()?;
        let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let named = token.map(subject).unwrap_or(Err(TokenError::Malformed));
        named.map_err(|error| format!("the token in {}: {error}", self.path.display()))
    }

    /// Has the file read again, whatever it looks like.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Stamp, HeaderValue)>> {
        self.last.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_token_that_is_replaced_is_read_again_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let file = TokenFile::new(&path);
        assert!(file.header().unwrap_err().contains("No such file"));
        fs::write(&path, "first\n").unwrap();
        assert_eq!(file.header().unwrap(), "Bearer first");
        fs::write(dir.path().join("new"), "other\n").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(file.header().unwrap(), "Bearer other");
        assert!(!format!("{file:?}").contains("other"));
        fs::write(&path, "a\0b").unwrap();
        let text = file.header().unwrap_err();
        assert!(text.ends_with("holds no token"), "{text}");
    }
}
