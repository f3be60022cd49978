//! What a check run says below its title: the steps that did not pass, as Markdown in which no text
//! of a step means anything.

use model::{Build, Outcome, Step};
use render::Site;
use std::fmt::Write as _;

/// Characters of a summary: GitHub takes 65535.
const LONGEST: usize = 60_000;
/// Characters of a step's name or text.
const TEXT: usize = 300;

/// What happened in the build.
pub fn summary(build: &Build, site: &Site) -> String {
    let mut text = match build.outcome {
        None => "The build is running.\n".to_owned(),
        Some(outcome) => format!("Result: {outcome} {}\n", code(&build.text)),
    };
    let failed = build.steps.iter().filter(|step| !passed(step));
    for (n, step) in failed.enumerate() {
        let mut line = String::new();
        if n == 0 {
            line.push_str("\nSteps that did not pass:\n\n");
        }
        line.push_str(&told(build, step, site));
        if text.chars().count() + line.chars().count() > LONGEST {
            text.push_str("\n… and more.\n");
            break;
        }
        text.push_str(&line);
    }
    text
}

fn passed(step: &Step) -> bool {
    matches!(step.outcome, None | Some(Outcome::Success | Outcome::Skipped))
}

fn told(build: &Build, step: &Step, site: &Site) -> String {
    let outcome = step.outcome.map_or("running", Outcome::word);
    let mut line = format!("- {} ({outcome})", code(&step.name));
    if !step.text.trim().is_empty() {
        let _ = write!(line, ": {}", code(&step.text));
    }
    if let Some(links) = &site.links {
        for log in &step.logs {
            let _ = write!(line, " [{}](<{}>)", plain(&log.name), links.log(build, step, log));
        }
    }
    line.push('\n');
    line
}

/// Text on one line, cut.
fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

/// Text as code, in which Markdown means nothing. More backticks in a row than the text has end it.
fn code(text: &str) -> String {
    let text = line(text);
    if text.is_empty() {
        return text;
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let ticks = "`".repeat(longest + 1);
    if longest == 0 { format!("{ticks}{text}{ticks}") } else { format!("{ticks} {text} {ticks}") }
}

/// The words of a link: letters, digits and some marks, none of which Markdown reads.
fn plain(text: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | ' ');
    line(text).chars().map(|c| if harmless(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{code, plain};

    #[test]
    fn text_of_steps_stays_within_its_code_span() {
        for (text, expected) in [
            ("make all", "`make all`"),
            ("a `b` c", "`` a `b` c ``"),
            ("```", "```` ``` ````"),
            ("two\nlines\u{7}", "`two lines`"),
        ] {
            assert_eq!(code(text), expected);
        }
        assert_eq!(plain("a](javascript:x)[b"), "a--javascript-x--b");
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_its_own_code_span(text in ".{0,80}") {
            let span = code(&text);
            let ticks = span.chars().take_while(|c| *c == '`').count();
            let inner = span.get(ticks..span.len() - ticks).unwrap_or_default();
            let runs = inner.split(|c| c != '`').map(str::len);
            proptest::prop_assert!(span.is_empty() || runs.max().unwrap_or_default() < ticks);
            proptest::prop_assert!(!span.contains('\n'));
        }
    }
}
