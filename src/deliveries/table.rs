//! Dead letters as people read them. Text that came from elsewhere can't command a terminal.

use super::Listed;
use feed::{ConsumerStatus, Parked};
use model::{Event, Position, Timestamp};
use serde::Serialize;
use std::fmt::Write as _;

/// Most characters of a reason in a list.
const REASON: usize = 80;

/// One dead letter of a list.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    consumer: String,
    position: Position,
    /// None of a record that can't be read, and neither are the next three.
    identity: Option<String>,
    /// What happened, such as `buildFinished`.
    event: Option<&'static str>,
    builder: Option<String>,
    number: Option<u64>,
    class: String,
    attempts: u32,
    /// When it was given up: milliseconds since 1970 UTC.
    at_ms: i64,
    /// Whether it is being handed out again.
    replay: bool,
    text: String,
}

impl Row {
    pub(super) fn new(consumer: &str, parked: &Parked) -> Self {
        let Parked { position, record, letter, replay } = parked;
        let event = record.as_ref().map(|record| &record.event);
        let build = match event {
            Some(Event::BuildStarted { build } | Event::BuildFinished { build }) => Some(build),
            _ => None,
        };
        Self {
            consumer: consumer.to_owned(),
            position: *position,
            identity: record.as_ref().map(|record| record.identity.to_string()),
            event: event.map(Event::name),
            builder: build.map(|build| build.builder.name.to_string()),
            number: build.map(|build| build.number),
            class: letter.class.clone(),
            attempts: letter.attempts,
            at_ms: letter.at_ms,
            replay: *replay,
            text: letter.text.clone(),
        }
    }

    /// `unit-linux #42`, or what happened.
    fn what(&self) -> String {
        match (&self.builder, self.number) {
            (Some(builder), Some(number)) => format!("{builder} #{number}"),
            _ => self.event.unwrap_or("unreadable").to_owned(),
        }
    }

    fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| "-".to_owned())
    }
}

/// Consumers, and below them their dead letters.
pub(super) fn listed(listed: &Listed) -> String {
    let head = ["CONSUMER", "BACKLOG", "IN FLIGHT", "DEAD LETTERS", "EXPIRED"];
    let consumers = listed.consumers.iter().map(|consumer| {
        let ConsumerStatus { name, backlog, in_flight, dead_letters, expired, .. } = consumer;
        vec![
            name.clone(),
            backlog.to_string(),
            in_flight.to_string(),
            dead_letters.to_string(),
            expired.to_string(),
        ]
    });
    let mut text = columns(&head, consumers.collect());
    if !listed.dead_letters.is_empty() {
        let head =
            ["CONSUMER", "POSITION", "WHAT", "CLASS", "ATTEMPTS", "AGE", "IDENTITY", "REASON"];
        let letters = listed.dead_letters.iter().map(|row| {
            let class =
                if row.replay { format!("{} (replayed)", row.class) } else { row.class.clone() };
            vec![
                row.consumer.clone(),
                row.position.to_string(),
                row.what(),
                class,
                row.attempts.to_string(),
                age(row.at_ms),
                row.identity(),
                row.text.chars().take(REASON).collect(),
            ]
        });
        text.push('\n');
        text += &columns(&head, letters.collect());
    }
    text
}

/// One dead letter with all that is known of it.
pub(super) fn whole(consumer: &str, parked: &Parked) -> String {
    let row = Row::new(consumer, parked);
    let mut text = String::new();
    for (name, value) in [
        ("consumer", row.consumer.clone()),
        ("position", row.position.to_string()),
        ("identity", row.identity()),
        ("what", row.what()),
        ("class", row.class.clone()),
        ("attempts", row.attempts.to_string()),
        ("given up", Timestamp(row.at_ms.div_euclid(1000)).rfc3339()),
        ("replayed", if row.replay { "yes" } else { "no" }.to_owned()),
        ("reason", row.text),
    ] {
        let _ = writeln!(text, "{name:<10}{}", plain(&value));
    }
    if let Some(record) = &parked.record {
        // JSON has no characters that command a terminal.
        let event = serde_json::to_string_pretty(&record.event).unwrap_or_default();
        let _ = writeln!(text, "event     {}", event.replace('\u{7f}', " "));
    }
    text
}

/// How long ago, in the largest unit that is whole.
fn age(at_ms: i64) -> String {
    let seconds = Timestamp::now().seconds_since(Timestamp(at_ms.div_euclid(1000)));
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Without what a terminal takes for a command.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn columns(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows)
        .map(|row: Vec<String>| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use feed::DeadLetter;
    use model::{Identity, Record};
    use std::sync::Arc;

    #[test]
    fn reasons_from_outside_neither_command_a_terminal_nor_break_the_table() {
        let event = Event::BuildFinished { build: Box::default() };
        let record = Record {
            position: Position { epoch: 1, seq: 42 },
            identity: Identity::of(&event, "uid", 1, 0),
            journaled_ms: 0,
            event,
        };
        let text = format!("550 \u{1b}[2J\nno {}", "x".repeat(200));
        let letter = DeadLetter { class: "permanent".into(), text, attempts: 3, at_ms: 0 };
        let position = record.position;
        let parked = Parked { position, record: Some(Arc::new(record)), letter, replay: true };
        let all = Listed { consumers: vec![], dead_letters: vec![Row::new("mail/a", &parked)] };
        let table = listed(&all);
        assert!(table.contains("mail/a    1.42"), "{table}");
        assert!(table.contains("permanent (replayed)  3"), "{table}");
        for text in [table, whole("mail/a", &parked)] {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
        assert_eq!(listed(&all).lines().count(), 4);
    }

    #[test]
    fn a_letter_about_what_cannot_be_read_is_shown_too() {
        let letter = DeadLetter { class: "damaged".into(), ..DeadLetter::default() };
        let position = Position { epoch: 1, seq: 42 };
        let parked = Parked { position, record: None, letter, replay: false };
        let all = Listed { consumers: vec![], dead_letters: vec![Row::new("mail/a", &parked)] };
        let table = listed(&all);
        assert!(table.contains("mail/a    1.42      unreadable  damaged"), "{table}");
        let whole = whole("mail/a", &parked);
        assert!(whole.contains("position  1.42") && !whole.contains("event "), "{whole}");
    }
}
