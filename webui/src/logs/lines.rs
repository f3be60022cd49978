//! A log's lines as HTML, with their channels told apart, and as plain text.

use crate::text::{
    ansi::{Ansi, strip},
    escape_into,
};
use master::LogChunk;
use model::LogKind;
use regex::Regex;
use std::{fmt::Write as _, sync::LazyLock};

/// Bytes of a line that a page shows; the plain text has all of it.
const LONGEST: usize = 32 * 1024;
/// Header lines in a row that are folded together.
const FOLD: usize = 6;
/// Header lines that are held back until it is known how many there are.
const HELD: usize = 400;

/// Renders the lines of one log in order.
///
/// ```
/// use webui::logs::Lines;
/// let chunk = master::LogChunk { first: 0, text: "eno such <file>\n".into() };
/// let (mut lines, mut out) = (Lines::new(model::LogKind::Stdio), String::new());
/// lines.chunk(&chunk, &mut out);
/// lines.end(&mut out);
/// assert_eq!(out, "<p id=l1 class=le><a href=\"#l1\">1</a><span>no such &lt;file&gt;</span></p>\n");
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    kind: LogKind,
    /// Colours of stdout and stderr: a program switches them on for its own channel.
    colours: [Ansi; 2],
    held: Vec<(u64, String)>,
    first_error: Option<u64>,
}

impl Lines {
    /// A renderer for a log of this kind.
    pub fn new(kind: LogKind) -> Self {
        Self { kind, colours: [Ansi::default(); 2], held: Vec::new(), first_error: None }
    }

    /// Appends a chunk's lines. Header lines may be held back until the run of them ends.
    pub fn chunk(&mut self, chunk: &LogChunk, out: &mut String) {
        for (number, line) in (chunk.first + 1..).zip(chunk.lines()) {
            self.line(number, line, out);
        }
    }

    /// Appends what is held back.
    pub fn end(&mut self, out: &mut String) {
        let held = std::mem::take(&mut self.held);
        let fold = held.len() >= FOLD;
        if let Some((_, first)) = held.first().filter(|_| fold) {
            let _ = write!(out, "<details><summary>Header, {} lines: ", held.len());
            escape_into(out, &crate::text::clip(strip(first).trim(), 120));
            out.push_str("</summary>\n");
        }
        for (number, line) in &held {
            // Headers are the master's and the worker's own words: a colour ends with its line.
            write_line(*number, "lh", line, &mut Ansi::default(), out);
        }
        if fold {
            out.push_str("</details>\n");
        }
    }

    /// The first line that looks like an error, of those rendered so far.
    pub fn first_error(&self) -> Option<u64> {
        self.first_error
    }

    fn line(&mut self, number: u64, line: &str, out: &mut String) {
        let (channel, text) = match self.kind {
            LogKind::Stdio => match line.split_at_checked(1) {
                Some(split) => split,
                None => ("o", line),
            },
            LogKind::Text | LogKind::Html | LogKind::Deleted => ("o", line),
        };
        let (class, ansi) = match channel {
            "h" => {
                if self.held.len() >= HELD {
                    self.end(out);
                }
                self.held.push((number, clipped(text).to_owned()));
                return;
            }
            "e" => ("le", &mut self.colours[1]),
            "o" => ("", &mut self.colours[0]),
            // Channels that Buildbot does not have are not shown (INVENTORY 2.11).
            _ => return,
        };
        if !self.held.is_empty() {
            let mut colours = *ansi;
            self.end(out);
            write_line(number, class, text, &mut colours, out);
            self.colours[usize::from(class == "le")] = colours;
        } else {
            write_line(number, class, text, ansi, out);
        }
        if self.first_error.is_none() && is_error(text) {
            self.first_error = Some(number);
        }
    }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

fn write_line(number: u64, class: &str, text: &str, ansi: &mut Ansi, out: &mut String) {
    let _ = write!(out, "<p id=l{number}");
    if !class.is_empty() {
        let _ = write!(out, " class={class}");
    }
    let _ = write!(out, "><a href=\"#l{number}\">{number}</a><span>");
    let shown = clipped(text);
    ansi.line(shown, out);
    if shown.len() < text.len() {
        let _ = write!(
            out,
            "<small> … {} bytes more in the plain text</small>",
            text.len() - shown.len()
        );
    }
    out.push_str("</span></p>\n");
}

/// Whether a line looks like what somebody with a failed step is looking for.
pub fn is_error(line: &str) -> bool {
    static ERROR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let pattern = r"\bFAIL(ED|URE)?\b|\w*(Error|Exception)\b:?|\b(?i:error)(\[\w+\])?:|^(?i:fatal)( error)?:|^Traceback \(|\bpanicked at\b|\*\*\* ";
        Regex::new(pattern).ok()
    });
    let text = strip(clipped(line));
    ERROR.as_ref().is_some_and(|error| error.is_match(&text))
}

/// A chunk as plain text: what the program wrote, byte for byte and in order, without
/// headers; colours stay (P14).
pub fn plain(kind: LogKind, chunk: LogChunk) -> String {
    if kind != LogKind::Stdio {
        return chunk.text;
    }
    let mut out = String::with_capacity(chunk.text.len());
    for line in chunk.text.split_inclusive('\n') {
        if let Some(text) = line.strip_prefix(['o', 'e']) {
            out.push_str(text);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(first: u64, text: &str) -> LogChunk {
        LogChunk { first, text: text.to_owned() }
    }

    fn html(kind: LogKind, chunks: &[LogChunk]) -> String {
        let (mut lines, mut out) = (Lines::new(kind), String::new());
        for chunk in chunks {
            lines.chunk(chunk, &mut out);
        }
        lines.end(&mut out);
        out
    }

    #[test]
    fn p13_header_stdout_and_stderr_are_told_apart() {
        insta::assert_snapshot!(html(LogKind::Stdio, &[chunk(0, "hmake all\nocc <x>\nex.c:1: error: no & then\no\nxother\n")]), @r##"
        <p id=l1 class=lh><a href="#l1">1</a><span>make all</span></p>
        <p id=l2><a href="#l2">2</a><span>cc &lt;x&gt;</span></p>
        <p id=l3 class=le><a href="#l3">3</a><span>x.c:1: error: no &amp; then</span></p>
        <p id=l4><a href="#l4">4</a><span></span></p>
        "##);
    }

    #[test]
    fn p13_a_long_header_is_folded_even_across_chunks() {
        let html = html(
            LogKind::Stdio,
            &[
                chunk(0, "hargv: [make]\nh in dir /b\nh env:\nhA=1\n"),
                chunk(4, "hB=<2>\nhC=3\nostart\nhend\n"),
            ],
        );
        assert!(
            html.starts_with(
                "<details><summary>Header, 6 lines: argv: [make]</summary>\n<p id=l1 class=lh>"
            ),
            "{html}"
        );
        assert!(html.contains("B=&lt;2&gt;"));
        let after = html.split("</details>\n").nth(1).unwrap_or_default();
        assert!(after.starts_with("<p id=l7>") && after.contains("<p id=l8 class=lh>"), "{after}");
    }

    #[test]
    fn p13_colours_hold_across_chunks_and_each_channel_has_its_own() {
        let html = html(
            LogKind::Stdio,
            &[chunk(0, "o\x1b[31mred\nenot\nhheader\n"), chunk(3, "ostill\no\x1b[0mplain\n")],
        );
        assert_eq!(html.matches("<span class=\"a31\">").count(), 2, "{html}");
        assert!(html.contains("<span>not</span>") && html.contains("<span>header</span>"));
    }

    #[test]
    fn p13_a_line_of_megabytes_does_not_make_a_page_of_megabytes() {
        let html = html(LogKind::Text, &[chunk(0, &format!("{}\nnext\n", "é".repeat(1_000_000)))]);
        assert!(html.len() < 40_000, "{}", html.len());
        assert!(
            html.contains("1967232 bytes more") && html.contains(">next<"),
            "{}",
            &html[html.len() - 300..]
        );
    }

    #[test]
    fn p13_the_first_error_is_found_and_harmless_words_are_not_one() {
        for line in [
            "FAILED tests/x",
            "E   ValueError: no",
            "x.c:3: error: y",
            "error[E0308]: z",
            "Traceback (most recent call last):",
            "thread 'main' panicked at x",
            "make: *** [all] Error 2",
            "\x1b[1mFAIL\x1b[0m x",
            "fatal: not a git repository",
        ] {
            assert!(is_error(line), "{line}");
        }
        for line in ["0 failed", "no errors", "ok", "failover", "terror", ""] {
            assert!(!is_error(line), "{line}");
        }
        let mut lines = Lines::new(LogKind::Stdio);
        lines.chunk(&chunk(10, "hError: of a header\nofine\neFAIL\noFAIL\n"), &mut String::new());
        assert_eq!(lines.first_error(), Some(13));
    }

    #[test]
    fn p14_plain_text_is_what_the_program_wrote() {
        let text = "hmake\no one\ne\x1b[31mtwo\x1b[0m\no\nhend\nxother\nolast";
        assert_eq!(plain(LogKind::Stdio, chunk(0, text)), " one\n\x1b[31mtwo\x1b[0m\n\nlast");
        assert_eq!(plain(LogKind::Text, chunk(0, "has it is\n")), "has it is\n");
    }

    proptest! {
        #[test]
        fn p13_any_log_can_be_shown(text in "([oehxé]?(\\PC|[<>&\"'\x1b\r\0]){0,20}\n){0,30}", cut in 0usize..30) {
            let at = text.match_indices('\n').nth(cut).map_or(0, |(at, _)| at + 1);
            let before = text[..at].matches('\n').count() as u64;
            let whole = html(LogKind::Stdio, &[chunk(0, &text)]);
            let parts = html(LogKind::Stdio, &[chunk(0, &text[..at]), chunk(before, &text[at..])]);
            prop_assert_eq!(&whole, &parts, "chunks don't show");
            for tag in whole.split('<').skip(1) {
                prop_assert!(["p id=l", "/p>", "a href=\"#l", "/a>", "span>", "/span>", "span class=\"a", "details>", "/details>", "summary>", "/summary>"].iter().any(|t| tag.starts_with(t)), "{}", tag);
            }
        }
    }
}
