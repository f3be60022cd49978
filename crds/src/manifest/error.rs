//! What is wrong with a manifest, and where.

use granit_parser::Marker;
use std::{fmt, path::PathBuf};

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub line: usize,
    pub column: usize,
}

impl Mark {
    pub(crate) fn of(marker: &Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// One mistake in a file that is not named yet.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    pub mark: Mark,
    pub field: String,
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(mark: Mark, field: impl Into<String>, message: String) -> Self {
        Self { mark, field: field.into(), message }
    }
}

/// One mistake: where it is, what it is, and what would be right. Shown as
/// `FILE:LINE:COLUMN: FIELD: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1; 0 when the mistake is about the whole file.
    pub line: usize,
    /// The column in characters, from 1; 0 when the mistake is about the whole file.
    pub column: usize,
    /// The field, such as `spec.mode[2]`; empty when the mistake is about no field.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl ManifestError {
    pub(crate) fn whole(file: impl Into<PathBuf>, message: String) -> Self {
        Self { file: file.into(), line: 0, column: 0, field: String::new(), message }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, " {}:", self.field)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for ManifestError {}

/// A text in quotes, cut when it is long, with control characters made visible.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{:?}", format!("{start}…"))
}

/// ` did you mean "failing"?` for the nearest of the known words, if one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distances cost length × length.
    if word.chars().count() > 64 {
        return None;
    }
    let lower = word.to_lowercase().replace(['_', '-'], "");
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::{nearest, quote};

    #[test]
    fn the_nearest_word_is_named_and_none_when_all_are_far() {
        let known = ["fromaddr", "extraRecipients", "smtpPort", "mode"];
        assert_eq!(nearest("fromadr", known), Some("fromaddr"));
        assert_eq!(nearest("extra_recipients", known), Some("extraRecipients"));
        assert_eq!(nearest("smtpport", known), Some("smtpPort"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest(&"m".repeat(1000), known), None);
    }

    #[test]
    fn quoted_texts_are_short_and_show_control_characters() {
        assert_eq!(quote("a\u{1b}[31m\n"), r#""a\u{1b}[31m\n""#);
        assert_eq!(quote(&"é".repeat(100)).chars().count(), 63);
    }
}
