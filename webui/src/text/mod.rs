//! Words and marks of the pages: times, revisions, terminal colours, links. All of it is pure.

pub mod ansi;
pub mod decorate;
pub mod time;

pub use time::{ago, brief, clock, dur, short, stamp, words};

/// Characters of a revision that pages show; the whole stands on the build's page.
const REVISION: usize = 10;

/// The beginning of a revision, as long as is needed to tell revisions apart (INVENTORY 1.6).
///
/// ```
/// assert_eq!(webui::text::rev("f0c29d5ea51aab54b6ba2a7ee6c4a1f1ca64c7e2"), "f0c29d5ea5");
/// assert_eq!(webui::text::rev("r4711"), "r4711");
/// ```
pub fn rev(revision: &str) -> &str {
    let end = revision.char_indices().nth(REVISION).map_or(revision.len(), |(at, _)| at);
    &revision[..end]
}

/// Appends `text` with all that HTML gives a meaning escaped; fit for element content and
/// for quoted attributes.
pub fn escape_into(out: &mut String, text: &str) {
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            b'\'' => "&#39;",
            _ => continue,
        };
        out.push_str(&text[done..at]);
        out.push_str(entity);
        done = at + 1;
    }
    out.push_str(&text[done..]);
}

/// `text` escaped for HTML; see [`escape_into`].
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

/// The URL if a page may link to it: `http`, `https`, `ftp` and `mailto`, or relative.
/// URLs come from steps, changes and hooks, so `javascript:` and its disguises are refused.
///
/// ```
/// use webui::text::safe_url;
/// assert_eq!(safe_url("https://example.org/r/7"), Some("https://example.org/r/7"));
/// assert_eq!(safe_url("java\tscript:alert(1)"), None);
/// ```
pub fn safe_url(url: &str) -> Option<&str> {
    let url = url.trim();
    // Browsers drop tabs and line ends inside a URL before they look for its scheme.
    if url.is_empty() || url.len() > 8192 || url.chars().any(char::is_control) {
        return None;
    }
    match url.split_once([':', '/', '?', '#', '\\']) {
        Some((scheme, rest)) if url.as_bytes().get(scheme.len()) == Some(&b':') => {
            let known = ["http", "https", "ftp", "mailto"];
            (known.iter().any(|k| scheme.eq_ignore_ascii_case(k)) && !rest.is_empty())
                .then_some(url)
        }
        _ => Some(url),
    }
}

/// `text` with at most `limit` characters, an ellipsis in the place of the rest.
pub fn clip(text: &str, limit: usize) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn escaping_leaves_no_character_that_html_gives_a_meaning() {
        assert_eq!(
            escape("<a href=\"x\">'&'</a>"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;"
        );
        assert_eq!(escape("né 🦀"), "né 🦀");
    }

    #[test]
    fn links_lead_only_to_pages_and_mail() {
        for good in [
            "http://a",
            "HTTPS://a/b?c",
            "mailto:a@b",
            "ftp://a",
            "a/b",
            "/a",
            "//host/a",
            "?q=a:b",
            "#x",
            "a/b:c",
        ] {
            assert_eq!(safe_url(good), Some(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "javascript:alert(1)",
            " JavaScript:x",
            "java\nscript:x",
            "data:text/html,x",
            "vbscript:x",
            "\u{1}javascript:x",
            "http:",
        ] {
            assert_eq!(safe_url(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äöü…");
        assert_eq!(rev("ääääääääääää"), "ääääääääää");
    }
}
