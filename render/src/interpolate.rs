//! Buildbot's `Interpolate`: `%(prop:NAME)s`, `%(src:CODEBASE:ATTRIBUTE)s` and a few keys.

use crate::{BuildContext, SourceContext};
use serde_json::Value;

/// A parsed text with places to fill in.
///
/// | form | becomes |
/// |---|---|
/// | `%(prop:NAME)s` | the build's property, empty if unset |
/// | `%(src:CODEBASE:ATTR)s` | `branch`, `revision`, `repository`, `project`, `codebase` or `got_revision` of a codebase's source stamp |
/// | `%(builder)s`, `%(result)s`, `%(title)s`, `%(projectName)s` | the builder's name, the result's word, the master's title (twice) |
/// | `%%` | `%` |
///
/// After NAME or ATTR may stand: `:-TEXT` (TEXT if unset), `:~TEXT` (TEXT if unset, empty, false
/// or 0), `:+TEXT` (TEXT if set), `:?|YES|NO` (by whether it is set) and `:#?|YES|NO` (by whether it
/// is true), with any delimiter for `|`. The texts may hold places to fill in themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpolation(Vec<Part>);

/// Where and why a text is no [`Interpolation`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {text}")]
pub struct InterpolationError {
    /// The character's number, from 1.
    pub at: usize,
    /// What is wrong, and what would be right.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place { key: Key, then: Then },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Property(String),
    Source { codebase: String, attribute: Attribute },
    Builder,
    Result,
    Title,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Branch,
    Revision,
    Repository,
    Project,
    Codebase,
    GotRevision,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Then {
    Value { default: Interpolation, when_false: bool },
    IfSet(Interpolation),
    Ternary { truth: bool, yes: Interpolation, no: Interpolation },
}

/// Places within places.
const DEPTH: usize = 8;
/// Longest text that is parsed, and longest result.
const LENGTH: usize = 64 * 1024;

impl Interpolation {
    /// Parses a text.
    ///
    /// # Errors
    /// [`InterpolationError`] for an unknown key, attribute or operator, a place that does not
    /// end, or more than 64 KiB.
    pub fn parse(text: &str) -> Result<Self, InterpolationError> {
        if text.len() > LENGTH {
            return Err(error(1, format!("longer than {LENGTH} bytes")));
        }
        parse(text, 1, DEPTH)
    }

    /// Whether it says the same of every build.
    pub fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// What it says of every build, beside its places.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Place { .. } => None,
        })
    }

    /// The text with all places filled in, cut at 64 KiB.
    pub fn render(&self, context: &BuildContext) -> String {
        let mut out = String::new();
        self.write(context, &mut out);
        out
    }

    /// Whether a property of the build may be part of it.
    pub fn uses_properties(&self) -> bool {
        self.0.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Place { key, then } => matches!(key, Key::Property(_)) || then.uses_properties(),
        })
    }

    fn write(&self, context: &BuildContext, out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => push(out, text),
                Part::Place { key, then } => then.write(key.value(context).as_ref(), context, out),
            }
        }
    }
}

fn push(out: &mut String, text: &str) {
    let room = LENGTH.saturating_sub(out.len());
    out.push_str(&text[..text.floor_char_boundary(room)]);
}

fn error(at: usize, text: impl Into<String>) -> InterpolationError {
    InterpolationError { at, text: text.into() }
}

/// `at` is the number of the text's first character in the whole.
fn parse(text: &str, at: usize, depth: usize) -> Result<Interpolation, InterpolationError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let (mut rest, mut here) = (text, at);
    while let Some(percent) = rest.find('%') {
        plain.push_str(&rest[..percent]);
        here += rest[..percent].chars().count();
        rest = &rest[percent + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            plain.push('%');
            (rest, here) = (after, here + 2);
            continue;
        }
        let Some(inner) = rest.strip_prefix('(') else {
            return Err(error(here, "a % begins %(KEY)s; write %% for the character itself"));
        };
        let end = balanced(inner).ok_or_else(|| error(here, "this %( has no closing )"))?;
        let (inside, after) = (&inner[..end], &inner[end + 1..]);
        let Some(after) = after.strip_prefix('s') else {
            return Err(error(here, "%(KEY) must be followed by the letter s"));
        };
        if depth == 0 {
            return Err(error(here, format!("places within places go {DEPTH} deep at most")));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(place(inside, here + 2, depth - 1)?);
        here += inside.chars().count() + 4;
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Interpolation(parts))
}

/// Where the parenthesis that is open at the start closes.
fn balanced(text: &str) -> Option<usize> {
    let mut open = 1usize;
    for (i, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(i);
        }
    }
    None
}

fn place(inside: &str, at: usize, depth: usize) -> Result<Part, InterpolationError> {
    let plain = |key| {
        let then = Then::Value { default: Interpolation(Vec::new()), when_false: false };
        Ok(Part::Place { key, then })
    };
    let (kind, rest) = match inside.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (inside, None),
    };
    match (kind, rest) {
        ("builder", None) => plain(Key::Builder),
        ("result", None) => plain(Key::Result),
        ("title" | "projectName", None) => plain(Key::Title),
        ("prop", Some(rest)) => {
            let (name, operator) = split_operator(rest);
            name_ok(name, at + 5)?;
            if name.is_empty() {
                return Err(error(at + 5, "a property's name is missing: %(prop:NAME)s"));
            }
            let then = then(operator, at + 5 + name.chars().count(), depth)?;
            Ok(Part::Place { key: Key::Property(name.to_owned()), then })
        }
        ("src", Some(rest)) => {
            let Some((codebase, rest)) = rest.split_once(':') else {
                return Err(error(at, "an attribute is missing: %(src:CODEBASE:ATTRIBUTE)s"));
            };
            name_ok(codebase, at + 4)?;
            let at = at + 5 + codebase.chars().count();
            let (name, operator) = split_operator(rest);
            let attribute = attribute(name, at)?;
            let then = then(operator, at + name.chars().count(), depth)?;
            Ok(Part::Place { key: Key::Source { codebase: codebase.to_owned(), attribute }, then })
        }
        ("kw" | "secret" | "worker" | "slave", Some(_)) => {
            Err(error(at, format!("{kind}: has no meaning here; use prop: or src:")))
        }
        _ => Err(error(
            at,
            format!(
                "unknown key {:?}; known are prop:NAME, src:CODEBASE:ATTRIBUTE, builder, result, title and projectName",
                kind.chars().take(40).collect::<String>()
            ),
        )),
    }
}

/// A name, and what follows its colon.
fn split_operator(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, operator)) => (name, Some(operator)),
        None => (text, None),
    }
}

/// Buildbot's own rule for names.
fn name_ok(name: &str, at: usize) -> Result<(), InterpolationError> {
    let bad = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    match name.chars().position(bad) {
        Some(n) => Err(error(at + n, "names hold letters, digits, _, . and - only")),
        None => Ok(()),
    }
}

fn attribute(name: &str, at: usize) -> Result<Attribute, InterpolationError> {
    Ok(match name {
        "branch" => Attribute::Branch,
        "revision" => Attribute::Revision,
        "repository" => Attribute::Repository,
        "project" => Attribute::Project,
        "codebase" => Attribute::Codebase,
        "got_revision" => Attribute::GotRevision,
        _ => {
            return Err(error(
                at,
                "an attribute is branch, revision, repository, project, codebase or got_revision",
            ));
        }
    })
}

fn then(operator: Option<&str>, at: usize, depth: usize) -> Result<Then, InterpolationError> {
    let Some(operator) = operator else {
        return Ok(Then::Value { default: Interpolation(Vec::new()), when_false: false });
    };
    // The colon and the operator itself.
    let inner = |text: &str, skipped: usize| parse(text, at + skipped, depth);
    if let Some(text) = operator.strip_prefix('-') {
        return Ok(Then::Value { default: inner(text, 2)?, when_false: false });
    }
    if let Some(text) = operator.strip_prefix('~') {
        return Ok(Then::Value { default: inner(text, 2)?, when_false: true });
    }
    if let Some(text) = operator.strip_prefix('+') {
        return Ok(Then::IfSet(inner(text, 2)?));
    }
    let (truth, choice) = match (operator.strip_prefix("#?"), operator.strip_prefix('?')) {
        (Some(choice), _) => (true, choice),
        (_, Some(choice)) => (false, choice),
        _ => return Err(error(at, "after the name come :-TEXT, :~TEXT, :+TEXT or :?|YES|NO")),
    };
    let skipped = if truth { 3 } else { 2 };
    let mut chars = choice.chars();
    let delimiter = chars
        .next()
        .filter(|c| !matches!(c, '(' | ')' | '%'))
        .ok_or_else(|| error(at + skipped, "a choice is :?|YES|NO, with any delimiter for |"))?;
    let halves: Vec<&str> = chars.as_str().split(delimiter).collect();
    let [yes, no] = halves[..] else {
        return Err(error(
            at + skipped,
            format!(
                "a choice has two texts, :?{delimiter}YES{delimiter}NO; here are {}",
                halves.len()
            ),
        ));
    };
    let second = skipped + 2 + yes.chars().count();
    Ok(Then::Ternary { truth, yes: inner(yes, skipped + 1)?, no: inner(no, second)? })
}

impl Key {
    /// `None` if unset. A property that is null is set, and empty.
    fn value(&self, context: &BuildContext) -> Option<Value> {
        match self {
            Self::Property(name) => context.properties.get(name).cloned(),
            Self::Source { codebase, attribute } => {
                let stamp = context.source_stamps.iter().find(|s| s.codebase == *codebase)?;
                Some(attribute.of(stamp).map_or(Value::Null, Into::into))
            }
            Self::Builder => Some(context.builder.name.clone().into()),
            Self::Result => Some(context.result.into()),
            Self::Title => Some(context.title.clone().into()),
        }
    }
}

impl Attribute {
    fn of(self, stamp: &SourceContext) -> Option<String> {
        match self {
            Self::Branch => stamp.branch.clone(),
            Self::Revision => stamp.revision.clone(),
            Self::Repository => Some(stamp.repository.clone()),
            Self::Project => Some(stamp.project.clone()),
            Self::Codebase => Some(stamp.codebase.clone()),
            Self::GotRevision => stamp.got_revision.clone(),
        }
    }
}

/// Python's truth.
fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

impl Then {
    fn uses_properties(&self) -> bool {
        match self {
            Self::Value { default: text, .. } | Self::IfSet(text) => text.uses_properties(),
            Self::Ternary { yes, no, .. } => yes.uses_properties() || no.uses_properties(),
        }
    }

    fn write(&self, value: Option<&Value>, context: &BuildContext, out: &mut String) {
        match self {
            Self::Value { default, when_false } => match value {
                None => default.write(context, out),
                Some(value) if *when_false && !truth(value) => default.write(context, out),
                Some(Value::Null) => {}
                Some(Value::String(text)) => push(out, text),
                // As Python writes them.
                Some(Value::Bool(yes)) => push(out, if *yes { "True" } else { "False" }),
                Some(other) => push(out, &other.to_string()),
            },
            Self::IfSet(text) => {
                if value.is_some() {
                    text.write(context, out);
                }
            }
            Self::Ternary { truth: by_truth, yes, no } => {
                let holds = value.is_some_and(|value| !by_truth || truth(value));
                if holds { yes.write(context, out) } else { no.write(context, out) }
            }
        }
    }
}
