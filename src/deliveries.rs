//! `deliveries`: what targets gave up, to be seen, replayed or dropped.

mod table;

use crate::{
    cli::{Deliveries, Journal, Letters, Output},
    fail::Failure,
};
use feed::{
    AnyFeed, ConsumerError, ConsumerStatus, Feed, History, Options, Parked, Retention,
    http::client::{Remote, RemoteOptions},
};
use model::Position;
use serde::Serialize;
use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};
use table::Row;

/// Letters that are read at once.
const PAGE: usize = 100;
/// Most letters that are listed of one consumer.
const LISTED: usize = 10_000;

/// Does what is asked, and says what was done.
///
/// # Errors
/// [`Failure`] when the feed or journal does not answer, or there is no such thing.
pub async fn deliveries(arguments: Deliveries) -> Result<(), Failure> {
    match arguments {
        Deliveries::List { journal, consumer, output } => {
            let feed = open(&journal)?;
            let listed = list(&feed, consumer.as_deref()).await;
            feed.close().await;
            let listed = listed?;
            crate::say(&match output {
                Output::Table => table::listed(&listed),
                Output::Json => json(&listed)?,
            })
        }
        Deliveries::Show { journal, consumer, position, output } => {
            let feed = open(&journal)?;
            let found = show(&feed, &consumer, position).await;
            feed.close().await;
            let found = found?;
            crate::say(&match output {
                Output::Table => table::whole(&consumer, &found),
                Output::Json => json(&found)?,
            })
        }
        Deliveries::Replay { journal, letters } => {
            change(&journal, &letters, Change::Replay, "handed out once more").await
        }
        Deliveries::Drop { journal, letters, yes } => {
            if letters.positions.is_empty() && !yes {
                return Err(Failure::Usage(
                    "drop: --all and --class throw away what can't be had again; say --yes".into(),
                ));
            }
            change(&journal, &letters, Change::Drop, "dropped").await
        }
    }
}

/// What `list` tells.
#[derive(Debug, Serialize)]
struct Listed {
    consumers: Vec<ConsumerStatus>,
    dead_letters: Vec<Row>,
}

async fn list(feed: &AnyFeed, consumer: Option<&str>) -> Result<Listed, Failure> {
    let consumers = match consumer {
        Some(name) => vec![feed.status(name).await.map_err(failed)?],
        None => feed.consumers().await.map_err(failed)?,
    };
    let mut dead_letters = Vec::new();
    for consumer in consumers.iter().filter(|consumer| consumer.dead_letters > 0) {
        let mut each = |letter: &Parked| dead_letters.push(Row::new(&consumer.name, letter));
        letters(feed, &consumer.name, &mut each).await?;
    }
    Ok(Listed { consumers, dead_letters })
}

/// Calls `each` with the letters of a consumer, page by page.
async fn letters(
    feed: &AnyFeed,
    consumer: &str,
    each: &mut (dyn FnMut(&Parked) + Send),
) -> Result<(), Failure> {
    let (mut after, mut count) = (None, 0);
    while count < LISTED {
        let page = feed.dead_letters(consumer, after, PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = Some(last.position);
        count += page.len();
        page.iter().for_each(&mut *each);
    }
    Ok(())
}

async fn show(feed: &AnyFeed, consumer: &str, position: Position) -> Result<Parked, Failure> {
    let before = Position { seq: position.seq.saturating_sub(1), ..position };
    let found = feed.dead_letters(consumer, Some(before), 1).await.map_err(failed)?;
    let found = found.into_iter().find(|letter| letter.position == position);
    found.ok_or_else(|| Failure::Other(format!("{consumer} has no dead letter {position}")))
}

/// What becomes of letters.
#[derive(Clone, Copy)]
enum Change {
    Replay,
    Drop,
}

async fn change(
    journal: &Journal,
    which: &Letters,
    change: Change,
    done: &str,
) -> Result<(), Failure> {
    let feed = open(journal)?;
    let changed = each(&feed, which, change).await;
    feed.close().await;
    let count = changed?;
    let letters = if count == 1 { "letter" } else { "letters" };
    crate::say(&format!("{count} dead {letters} of {} {done}\n", which.consumer))
}

async fn each(feed: &AnyFeed, which: &Letters, change: Change) -> Result<usize, Failure> {
    let Letters { consumer, positions, class, .. } = which;
    let mut positions = positions.clone();
    if positions.is_empty() {
        let mut each = |letter: &Parked| {
            // What can't be read can be dropped, but not replayed.
            let possible = matches!(change, Change::Drop) || letter.record.is_some();
            if possible && class.as_ref().is_none_or(|class| *class == letter.letter.class) {
                positions.push(letter.position);
            }
        };
        letters(feed, consumer, &mut each).await?;
    }
    for (count, &position) in positions.iter().enumerate() {
        let changed = match change {
            Change::Replay => feed.replay(consumer, position).await,
            Change::Drop => feed.drop_letter(consumer, position).await,
        };
        match changed {
            Ok(()) => {}
            // One of many that somebody else dealt with meanwhile.
            Err(ConsumerError::NotFound(_)) if which.positions.is_empty() => {}
            Err(error) => {
                return Err(Failure::Other(format!("{position}: {error}; {count} were done")));
            }
        }
    }
    Ok(positions.len())
}

fn failed(error: impl Display) -> Failure {
    Failure::Other(error.to_string())
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(failed)
}

/// The feed, or the journal, that is meant.
fn open(journal: &Journal) -> Result<AnyFeed, Failure> {
    if let (Some(url), Some(token)) = (&journal.url, &journal.token_file) {
        return Ok(Remote::new(url, token, RemoteOptions::default())?.into());
    }
    let data = journal.data.as_deref().unwrap_or(Path::new("."));
    // Nothing is dropped for its age here: how long it is kept is not known.
    let options = Options {
        retention: Retention {
            max_age: Duration::MAX,
            max_bytes: u64::MAX,
            max_backlog_bytes: u64::MAX,
        },
        history: History {
            max_builds: u64::MAX,
            max_changes: u64::MAX,
            max_users: u64::MAX,
            max_age: None,
        },
        forget_after: Duration::MAX,
        maintenance: Duration::from_secs(24 * 3600),
        ..Options::default()
    };
    Feed::open(&find(data)?, options).map(AnyFeed::from).map_err(failed)
}

/// The one journal below a data folder, `DIR/NAMESPACE/NAME`, or in the folder itself.
fn find(data: &Path) -> Result<PathBuf, Failure> {
    let has = |folder: &Path| folder.join("journal.redb").is_file();
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    if has(data) {
        return Ok(data.to_owned());
    }
    let mut found: Vec<PathBuf> =
        below(data).iter().flat_map(|namespace| below(namespace)).filter(|f| has(f)).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::Usage(format!("--data: {}: there is no journal in it", data.display()))),
        many => {
            let names: Vec<String> = many.iter().map(|f| f.display().to_string()).collect();
            let text =
                format!("--data: there are several journals; name one: {}", names.join(", "));
            Err(Failure::Usage(text))
        }
    }
}
