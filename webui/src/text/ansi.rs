//! Terminal colours in logs: SGR sequences become classes `aNN`, never styles.
//!
//! Other control sequences are dropped, malformed ones are shown (INVENTORY 2.11). The
//! classes are those of the sixteen classic colours; of 256 colours and of RGB the nearest is
//! taken, so that the stylesheet keeps every text readable in both themes.

use super::escape_into;
use std::fmt::Write as _;

/// Sequences longer than this are no control sequences.
const LONGEST: usize = 64;

/// What a terminal would have switched on so far; carried from line to line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ansi {
    /// SGR 1 to 9: bit N is attribute N.
    attributes: u16,
    /// 30 to 37, 90 to 97; 0 is the default.
    foreground: u8,
    /// 40 to 47, 100 to 107; 0 is the default.
    background: u8,
}

impl Ansi {
    /// Appends a line as HTML: escaped, with spans of classes. Spans are closed at the end of
    /// the line; what is switched on holds for the next.
    ///
    /// A carriage return goes back to the start of the line, so only what was written last is
    /// shown: of progress in per cent, the end.
    ///
    /// ```
    /// let (mut ansi, mut out) = (webui::text::ansi::Ansi::default(), String::new());
    /// ansi.line("\x1b[1;31mFAIL\x1b[0m <test>", &mut out);
    /// assert_eq!(out, "<span class=\"a1 a31\">FAIL</span> &lt;test&gt;");
    /// ```
    pub fn line(&mut self, line: &str, out: &mut String) {
        let line = line.trim_end_matches(['\r', '\n']);
        let shown = line.rfind('\r').map_or(0, |at| at + 1);
        // Progress that is wiped out may still have switched a colour on.
        self.piece(&line[..shown], None);
        self.piece(&line[shown..], Some(out));
    }

    fn piece(&mut self, text: &str, mut out: Option<&mut String>) {
        let mut open = false;
        let mut rest = text;
        while !rest.is_empty() {
            let plain = rest.find(control).unwrap_or(rest.len());
            if plain > 0 {
                if let Some(out) = out.as_deref_mut() {
                    open |= self.open(open, out);
                    escape_into(out, &rest[..plain]);
                }
                rest = &rest[plain..];
                continue;
            }
            let (length, codes) = sequence(rest);
            if length > 0 {
                if let Some(codes) = codes {
                    let before = *self;
                    self.apply(codes);
                    if *self != before && open {
                        open = false;
                        if let Some(out) = out.as_deref_mut() {
                            out.push_str("</span>");
                        }
                    }
                }
                rest = &rest[length..];
            } else {
                let char = rest.chars().next().unwrap_or_default();
                if let Some(out) = out.as_deref_mut() {
                    open |= self.open(open, out);
                    out.push(picture(char));
                }
                rest = &rest[char.len_utf8().min(rest.len())..];
            }
        }
        if open && let Some(out) = out {
            out.push_str("</span>");
        }
    }

    /// Opens a span if something is switched on and none is open; says whether it did.
    fn open(&self, open: bool, out: &mut String) -> bool {
        if open || *self == Self::default() {
            return false;
        }
        let attributes = (1..=9u8).filter(|n| self.attributes & (1 << n) != 0);
        let colours = [self.foreground, self.background].into_iter().filter(|n| *n > 0);
        let mut before = "<span class=\"";
        for code in attributes.chain(colours) {
            let _ = write!(out, "{before}a{code}");
            before = " ";
        }
        out.push_str("\">");
        true
    }

    /// Applies the parameters of one SGR sequence.
    fn apply(&mut self, parameters: &str) {
        let mut codes = parameters.split([';', ':']).map(|p| p.parse::<u16>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Self::default(),
                1..=9 => self.attributes |= 1 << code,
                21 => self.attributes |= 1 << 4,
                22 => self.attributes &= !(1 << 1 | 1 << 2),
                23..=29 => self.attributes &= !(1 << (code - 20)),
                30..=37 | 90..=97 => self.foreground = low(code),
                40..=47 | 100..=107 => self.background = low(code),
                39 => self.foreground = 0,
                49 => self.background = 0,
                38 | 48 => {
                    let colour = match codes.next() {
                        Some(5) => codes.next().and_then(indexed),
                        Some(2) => match (codes.next(), codes.next(), codes.next()) {
                            (Some(r), Some(g), Some(b)) => Some(nearest([r, g, b].map(low))),
                            _ => None,
                        },
                        _ => None,
                    };
                    match colour {
                        Some(colour) if code == 38 => self.foreground = 30 + colour,
                        Some(colour) => self.background = 40 + colour,
                        None => return,
                    }
                }
                _ => {}
            }
        }
    }
}

/// The text of a line without its control sequences, and as a carriage return leaves it.
/// For finding words in it, not for showing it.
pub fn strip(line: &str) -> std::borrow::Cow<'_, str> {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = &line[line.rfind('\r').map_or(0, |at| at + 1)..];
    if !line.contains('\x1b') {
        return line.into();
    }
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find('\x1b') {
        out.push_str(&rest[..at]);
        rest = &rest[at + sequence(&rest[at..]).0.max(1)..];
    }
    out.push_str(rest);
    out.into()
}

fn control(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Control characters as their pictures; HTML forbids most of them.
fn picture(c: char) -> char {
    match c as u32 {
        low @ 0..=0x1f => char::from_u32(0x2400 + low).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        _ => '\u{fffd}',
    }
}

/// The length of the control sequence at the start of `text` and, of SGR, its parameters.
/// Length 0 where there is no well-formed one.
fn sequence(text: &str) -> (usize, Option<&str>) {
    let bytes = text.as_bytes();
    match bytes {
        [0x1b, b'[', rest @ ..] => {
            let parameters = rest.iter().take_while(|b| matches!(b, 0x30..=0x3f)).count();
            let between =
                rest[parameters..].iter().take_while(|b| matches!(b, 0x20..=0x2f)).count();
            let end = parameters + between;
            match rest.get(end) {
                Some(0x40..=0x7e) if end > LONGEST => (0, None),
                Some(b'm') if between == 0 && sgr(&rest[..parameters]) => {
                    (end + 3, text.get(2..2 + parameters))
                }
                Some(0x40..=0x7e) => (end + 3, None),
                _ => (0, None),
            }
        }
        // Titles and hyperlinks: up to BEL or ESC \. Their text follows and stays.
        [0x1b, b']', rest @ ..] => {
            let end = rest.iter().take(2048).position(|b| matches!(b, 7 | 0x1b));
            match end.map(|end| (end, rest[end], rest.get(end + 1))) {
                Some((end, 7, _)) => (end + 3, None),
                Some((end, _, Some(b'\\'))) => (end + 4, None),
                _ => (0, None),
            }
        }
        // Character sets.
        [0x1b, b'(' | b')', b'0' | b'A' | b'B', ..] => (3, None),
        _ => (0, None),
    }
}

fn sgr(parameters: &[u8]) -> bool {
    parameters.iter().all(|b| matches!(b, b'0'..=b'9' | b';' | b':'))
}

fn low(code: u16) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// One of the 256 colours as an offset from 30 or 40.
fn indexed(index: u16) -> Option<u8> {
    match low(index) {
        _ if index > 255 => None,
        dark @ 0..=7 => Some(dark),
        bright @ 8..=15 => Some(bright - 8 + 60),
        grey @ 232..=255 => Some(nearest([8 + (grey - 232) * 10; 3])),
        cube => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + n * 40 };
            let cube = cube - 16;
            Some(nearest([level(cube / 36), level(cube / 6 % 6), level(cube % 6)]))
        }
    }
}

/// The nearest of the sixteen colours, as an offset from 30 or 40.
fn nearest([r, g, b]: [u8; 3]) -> u8 {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    if max - min < 48 {
        // Greys: black, bright black, white, bright white.
        return match max {
            0..=63 => 0,
            64..=159 => 60,
            160..=223 => 7,
            _ => 67,
        };
    }
    let middle = min + (max - min) / 2;
    let hue = u8::from(r > middle) | u8::from(g > middle) << 1 | u8::from(b > middle) << 2;
    if max > 215 { hue + 60 } else { hue }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn html(line: &str) -> String {
        let mut out = String::new();
        Ansi::default().line(line, &mut out);
        out
    }

    #[test]
    fn p13_colours_become_classes_and_never_styles() {
        let table: String = [
            "plain <b> & \"quotes\" 'too'",
            "\x1b[31mred\x1b[0m plain",
            "\x1b[1;4;33;44mmany\x1b[22mless\x1b[39;49;24mnone",
            "\x1b[31m\x1b[31mtwice\x1b[m",
            "\x1b[31m\x1b[0m",
            "\x1b[2K\x1b[1Gerased \x1b[?25lhidden \x1b(Bset",
            "\x1b]0;title\x07window \x1b]8;;http://a/\x1b\\link\x1b]8;;\x1b\\",
            "\x1b[38;5;196mcube\x1b[38;5;2mlow\x1b[38;2;10;200;10mrgb\x1b[48;5;15mwhite\x1b[38;5mlost",
            "\x1b[38:5:9mcolons",
            "\x1b[31broken \x1b[",
            "\x1b",
            "\x1b[<0mnot sgr",
            "bell\x07 nul\0 tab\t",
        ]
        .iter()
        .map(|line| html(line) + "\n")
        .collect();
        insta::assert_snapshot!(table);
    }

    #[test]
    fn p13_a_colour_holds_until_it_is_switched_off_some_lines_later() {
        let (mut ansi, mut out) = (Ansi::default(), String::new());
        for line in ["\x1b[32mone", "two", "\x1b[0mthree"] {
            ansi.line(line, &mut out);
            out.push('|');
        }
        assert_eq!(out, "<span class=\"a32\">one</span>|<span class=\"a32\">two</span>|three|");
    }

    #[test]
    fn p13_of_progress_that_is_written_over_the_last_is_shown() {
        assert_eq!(html("10%\r50%\r100%\r"), "100%");
        assert_eq!(html("\x1b[32m10%\r100%"), "<span class=\"a32\">100%</span>");
        assert_eq!(html("dos line\r\n"), "dos line");
    }

    #[test]
    fn words_are_found_through_the_colours() {
        assert_eq!(strip("\x1b[1mFA\x1b[0mIL\r"), "FAIL");
        assert_eq!(strip("\x1b[broken"), "roken");
        assert_eq!(strip("\x1bé"), "é");
    }

    /// Removes what [`Ansi::line`] may add; what is left must be escaped text.
    fn without_spans(html: &str) -> String {
        let mut out = html.replace("</span>", "");
        while let Some(at) = out.find("<span class=\"") {
            let end = out[at..].find("\">").map(|e| at + e + 2).unwrap_or(out.len());
            let class = &out[at + 13..end - 2];
            assert!(
                class.split(' ').all(|c| c.starts_with('a') && c[1..].parse::<u8>().is_ok()),
                "{class}"
            );
            out.replace_range(at..end, "");
        }
        out
    }

    proptest! {
        #[test]
        fn p13_no_line_gets_a_raw_character_of_html_through(line in "(\\PC|\x1b\\[[0-9;:]{0,8}[mKH]?|\x1b[\\]\\[(]?|[\\x00-\\x1f<>&\"'])*") {
            let html = html(&line);
            let text = without_spans(&html);
            prop_assert!(!text.contains(['<', '>', '"', '\'']), "{}", text);
            for (at, _) in text.match_indices('&') {
                let rest = &text[at..];
                prop_assert!(["&lt;", "&gt;", "&amp;", "&quot;", "&#39;"].iter().any(|e| rest.starts_with(e)), "{}", rest);
            }
            prop_assert!(!html.chars().any(control));
            prop_assert_eq!(html.matches("<span").count(), html.matches("</span>").count());
            strip(&line);
        }

        #[test]
        fn p13_any_bytes_can_be_shown(bytes: Vec<u8>) {
            let text = String::from_utf8_lossy(&bytes);
            let html = html(&text);
            prop_assert!(!without_spans(&html).contains(['<', '>', '"', '\'']));
        }
    }
}
