//! What came to each peer, in the words of what is due. What came twice is the same both times, and came no oftener
//! than the promise has it.

use crate::{
    truth,
    world::{ROBOT, World},
};
use e2e::Change;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write as _},
};

/// Messages by what they are about, without repeats. `came` has each with its identity.
fn once<K: Ord + Debug, I: Eq + Debug>(
    what: &str,
    came: impl IntoIterator<Item = (K, I)>,
    allowed: usize,
) -> BTreeSet<K> {
    let mut first = BTreeMap::new();
    let mut repeats = 0;
    for (about, identity) in came {
        if let Some(known) = first.get(&about) {
            assert_eq!(*known, identity, "{what} of {about:?} came again as another one");
            repeats += 1;
        } else {
            first.insert(about, identity);
        }
    }
    assert!(repeats <= allowed, "{what}: {repeats} came twice, of {allowed} that may");
    first.into_keys().collect()
}

/// Subjects of a notifier's mails.
pub fn mails(world: &World, notifier: &str, allowed: usize) -> BTreeSet<String> {
    let list = format!("<{notifier}.");
    let all = world.mailbox.mails().into_iter();
    let own = all.filter(|mail| mail.header("List-Id").starts_with(&list));
    let own = own.map(|mail| {
        let subject = mail.header("Subject");
        let subject = if subject.contains("=?") {
            mail.read()["headers"]["Subject"].as_str().unwrap().to_owned()
        } else {
            subject
        };
        (subject, mail.header("Message-ID"))
    });
    once(notifier, own, allowed)
}

/// What a packet is about.
fn about(packet: &Value) -> String {
    let payload = &packet["payload"];
    let event = packet["event"].as_str().unwrap();
    let mut text = event.to_owned();
    let mut add = |value: &Value| match value.as_str() {
        Some(word) => write!(text, " {word}").unwrap(),
        None => write!(text, " {value}").unwrap(),
    };
    match event {
        "buildStarted" | "buildFinished" => {
            let build = &payload["build"];
            add(&build["builderName"]);
            add(&build["number"]);
            if event == "buildFinished" {
                add(&truth::result(&build["results"]).into());
            }
        }
        "stepStarted" | "stepFinished" => {
            add(&payload["properties"][0][1]);
            add(&payload["properties"][1][1]);
            add(&payload["step"]["step_number"]);
            if event == "stepFinished" {
                add(&payload["step"]["results"][0]);
            }
        }
        "requestSubmitted" => add(&payload["request"]["brid"]),
        "buildsetSubmitted" => add(&payload["buildset"]["bsid"]),
        "changeAdded" => add(&payload["change"]["number"]),
        _ => {}
    }
    text
}

/// Packets of a push. A packet's identity is all that it says, its number among it; numbers go on without a
/// gap. `given` is what was given at once: of that, `allowed` may be given again.
pub fn packets(what: &str, given: &[Vec<Value>], allowed: usize) -> BTreeSet<String> {
    let mut first: BTreeMap<u64, (usize, &Value)> = BTreeMap::new();
    let mut again = BTreeSet::new();
    for (post, packets) in given.iter().enumerate() {
        for packet in packets {
            let id = packet["id"].as_u64().unwrap();
            let (before, known) = *first.entry(id).or_insert((post, packet));
            assert_eq!(known, packet, "{what}: number {id} came again as another packet");
            if before != post {
                again.insert(before);
            }
        }
    }
    assert!(again.len() <= allowed, "{what}: {again:?} came twice, of {allowed} that may");
    let numbers: Vec<u64> = first.keys().copied().collect();
    let count = u64::try_from(numbers.len()).unwrap();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{what}");
    once(what, first.into_iter().map(|(id, (_, packet))| (about(packet), id)), 0)
}

/// Statuses by commit and context, in the order in which they came.
pub fn statuses(world: &World, allowed: usize) -> BTreeMap<(String, String), Vec<String>> {
    let mut told: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut came = Vec::new();
    for status in world.github.posted() {
        let text = |field: &str| status[field].as_str().unwrap().to_owned();
        let line = format!("{} {}", text("state"), text("target_url"));
        let place = (text("sha"), text("context"));
        came.push(((place.clone(), line.clone()), text("description")));
        let lines = told.entry(place).or_default();
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    once("statuses", came, allowed);
    told
}

/// Reviews with a tag: commit and text. What Gerrit writes before the text is taken off but for the vote.
pub async fn reviews(world: &World, tag: &str, allowed: usize) -> BTreeSet<(String, String)> {
    let mut came = Vec::new();
    for change in &world.changes {
        let mut texts: Vec<String> = Vec::new();
        for text in messages(world, change, tag).await {
            // Gerrit does not say again a vote that stands: a repetition is its first message without.
            let first = texts.iter().find(|first| is_voted(first, &text)).cloned();
            texts.push(first.unwrap_or(text));
        }
        for text in texts {
            // Gerrit keeps no identity beside the text, which names the build.
            came.push(((change.revision.clone(), text), ()));
        }
    }
    once(tag, came, allowed)
}

/// Whether a message is this text with a vote before it.
fn is_voted(message: &str, text: &str) -> bool {
    let rest = message.strip_suffix(text).and_then(|vote| vote.strip_prefix("Verified"));
    matches!(rest, Some("+1 " | "-1 "))
}

async fn messages(world: &World, change: &Change, tag: &str) -> Vec<String> {
    let all = world.gerrit.messages(change, ROBOT).await.into_iter();
    let own = all.filter(|(_, with)| with.as_deref() == Some(tag));
    own.map(|(text, _)| {
        let (head, body) = text.split_once("\n\n").unwrap();
        let vote = head.strip_prefix("Patch Set 1:").unwrap().trim();
        format!("{vote} {body}").trim_start().to_owned()
    })
    .collect()
}
