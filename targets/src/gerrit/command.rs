//! The words of Gerrit's SSH commands, and what their answers mean. Pure.

use super::{
    compose::{Review, Vote},
    decide::Place,
    send::{Found, Marks},
};
use delivery::SendError;
use serde::Deserialize;

/// Changes that one commit may be in.
const CHANGES: usize = 10;
/// Words of a refusal that are kept.
const WORDS: usize = 300;

/// One word of a command line, whatever is in it.
///
/// Gerrit splits a command line by itself: between single quotes all is literal, and outside of
/// them a backslash makes the next character so. An empty word is dropped.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A version, as far as options depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32);

impl Version {
    /// Where a label is an option of its own.
    const LABELS: Self = Self(2, 6);
    const TAGS: Self = Self(2, 13);

    /// Of `gerrit version 3.10.2`. One that is no number is that of somebody's own build, and taken
    /// for a new one.
    pub fn parse(answer: &str) -> Self {
        let version = answer.trim().strip_prefix("gerrit version ").unwrap_or_default();
        let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Self(major, minor),
            _ => Self(u32::MAX, 0),
        }
    }

    /// Whether votes can be looked up by their labels' names.
    pub fn has_labels(self) -> bool {
        self >= Self::LABELS
    }
}

/// Asks which changes have the patch set.
pub fn find(place: &Place, comments: bool) -> String {
    let mut words = vec!["gerrit query --format=JSON --current-patch-set --patch-sets".to_owned()];
    if comments {
        words.push("--comments".to_owned());
    }
    words.push(quoted(&format!("commit:{}", place.revision)));
    words.push(quoted(&format!("project:\"{}\"", place.project)));
    words.push(format!("limit:{CHANGES}"));
    words.join(" ")
}

/// Asks for the votes on a patch set.
pub fn votes(found: &Found) -> String {
    format!("gerrit query --format=JSON --patch-sets --all-approvals change:{}", found.change)
}

/// Sends a review.
pub fn review(
    place: &Place,
    found: &Found,
    review: &Review,
    marks: &Marks,
    version: Version,
) -> String {
    let mut words =
        vec!["gerrit review".to_owned(), quoted(&format!("--project={}", place.project))];
    if version >= Version::TAGS {
        words.push(quoted(&format!("--tag={}", marks.tag)));
    }
    if let Some(notify) = &marks.notify {
        words.push(quoted(&format!("--notify={notify}")));
    }
    // Gerrit splits options with `=` twice on their way, so a text that looks like one would be
    // torn apart. It removes what is blank around a message.
    let guard = if review.text.starts_with('-') { "\n" } else { "" };
    words.push(quoted(&format!("--message={guard}{}", review.text)));
    for Vote { label, value } in &review.votes {
        if version.has_labels() {
            words.push(quoted(&format!("--label={label}={value:+}")));
        } else if label == "Verified" || label == "Code-Review" {
            words.push(quoted(&format!("--{}={value:+}", label.to_lowercase())));
        }
    }
    words.push(format!("{},{}", found.change, found.patch_set));
    words.join(" ")
}

/// What a command wrote, and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    pub status: Option<u32>,
}

impl Answer {
    /// What the command wrote, if it ended well.
    pub fn text(&self) -> Result<String, SendError> {
        let words = self.words();
        match self.status {
            Some(0) => Ok(String::from_utf8_lossy(&self.out).into_owned()),
            Some(_) if passing(&words) => Err(SendError::Transient(words)),
            Some(_) => Err(SendError::Permanent(words)),
            None => Err(SendError::Transient(format!("the connection ended early: {words}"))),
        }
    }

    fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.err);
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let text = lines.join(" ");
        let text = text.trim_start_matches("error: ").trim_start_matches("fatal: ");
        if text.is_empty() {
            return "no word of why".to_owned();
        }
        text.chars().take(WORDS).filter(|c| !c.is_control()).collect()
    }
}

/// Whether a refusal is one of the moment. All of them end with the same status.
fn passing(words: &str) -> bool {
    let words = words.to_lowercase();
    ["internal server error", "database", "lock", "timeout", "timed out", "unavailable", "overload"]
        .iter()
        .any(|sign| words.contains(sign))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    #[serde(default)]
    number: Number,
    #[serde(default)]
    status: String,
    current_patch_set: Option<PatchSet>,
    #[serde(default)]
    patch_sets: Vec<PatchSet>,
    #[serde(default)]
    comments: Vec<Comment>,
}

#[derive(Deserialize)]
struct PatchSet {
    #[serde(default)]
    number: Number,
    #[serde(default)]
    revision: String,
    #[serde(default)]
    approvals: Vec<Approval>,
}

#[derive(Deserialize)]
struct Approval {
    #[serde(rename = "type", default)]
    label: String,
    #[serde(default)]
    value: Number,
    #[serde(default)]
    by: Account,
}

#[derive(Deserialize)]
struct Comment {
    #[serde(default)]
    reviewer: Account,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
struct Account {
    #[serde(default)]
    username: String,
}

/// Older servers write numbers as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

impl Default for Number {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Number {
    fn get(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.parse().unwrap_or(0),
        }
    }

    fn unsigned(&self) -> u64 {
        u64::try_from(self.get()).unwrap_or(0)
    }
}

/// Each line of the answer is a change, and the last one a count.
fn lines(answer: &str) -> Result<Vec<Line>, SendError> {
    let mut changes = Vec::new();
    for line in answer.lines().filter(|line| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line).map_err(|error| {
            SendError::Transient(format!("gerrit query answered no change: {error}"))
        })?;
        match line.kind.as_deref() {
            None => changes.push(line),
            Some("error") => {
                let words = line.message.unwrap_or_default();
                return Err(SendError::Transient(format!("gerrit query: {words}")));
            }
            Some(_) => {}
        }
    }
    Ok(changes)
}

/// The changes that have the patch set.
pub fn found(answer: &str, place: &Place, username: &str) -> Result<Vec<Found>, SendError> {
    let changes = lines(answer)?.into_iter().filter_map(|line| {
        let own = line.patch_sets.iter().find(|p| p.revision == place.revision)?;
        let newest = line.current_patch_set.as_ref().map_or(0, |p| p.number.unsigned());
        let last = line.comments.iter().rev().find(|c| c.reviewer.username == username);
        Some(Found {
            id: String::new(),
            change: line.number.unsigned(),
            patch_set: own.number.unsigned(),
            newest,
            status: line.status.clone(),
            last: last.map(|comment| comment.message.clone()),
        })
    });
    Ok(changes.collect())
}

/// The votes of `username` on the patch set.
pub fn voted(answer: &str, found: &Found, username: &str) -> Result<Vec<Vote>, SendError> {
    let changes = lines(answer)?;
    let sets = changes.iter().flat_map(|line| &line.patch_sets);
    let own = sets.filter(|set| set.number.unsigned() == found.patch_set);
    let votes = own.flat_map(|set| &set.approvals).filter(|vote| vote.by.username == username);
    Ok(votes.map(|a| Vote { label: a.label.clone(), value: a.value.get() }).collect())
}

#[cfg(test)]
mod tests;
