//! Text of logs, as much of it as a mail holds (M04, M08). However long a log is, what is asked for
//! and what is in memory follow the bound, not the log.

use crds::LogPart;
use feed::{AnyFeed, ClientError, LogChunk, LogError};
use model::{Log, LogId, LogKind};
use std::fmt::Write as _;

/// Lines that are asked for at once: the feed keeps logs in pieces of so many.
const STEP: u64 = 1000;
/// Most answers of one log, in case that most of its lines are left out.
const ANSWERS: usize = 64;
/// Less of a log than this is not worth a question.
const LEAST: usize = 256;

/// Where text of logs is asked for: a feed, or a test's own.
pub trait Lines: Sync {
    /// At most `limit` lines from line `first` on; fewer at the end, or where they are long.
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> impl Future<Output = Result<LogChunk, LogError>> + Send;
}

impl Lines for AnyFeed {
    async fn lines(&self, log: LogId, first: u64, limit: u64) -> Result<LogChunk, LogError> {
        self.log(log, first, limit).await
    }
}

/// A log that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the attachment is called: `step.log`.
    pub name: String,
    /// Whether its step failed, so that it comes first when there is no room for all.
    pub bad: bool,
    /// Whether a part of it is of no use: half a patch is none.
    pub whole: bool,
    /// Its page.
    pub url: Option<String>,
    id: LogId,
    kind: LogKind,
    lines: u64,
}

impl Wanted {
    pub fn new(name: String, bad: bool, url: Option<String>, log: &Log) -> Self {
        Self { name, bad, whole: false, url, id: log.id, kind: log.kind, lines: log.lines }
    }

    /// The log by which a source step tells the patch that it applied.
    pub fn patch(name: String, url: Option<String>, log: &Log) -> Self {
        Self { whole: true, ..Self::new(name, true, url, log) }
    }
}

/// A part of a log without lines about the command and its environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its lines, each with a line feed.
    pub text: String,
    /// Whether something of the log was left out.
    pub cut: bool,
}

impl Part {
    /// How many lines it has.
    pub fn count(&self) -> usize {
        self.text.lines().count()
    }
}

/// At most `most` bytes of a log from its end or beginning.
///
/// # Errors
/// [`LogError`].
pub async fn read(
    from: &impl Lines,
    log: &Wanted,
    most: usize,
    keep: LogPart,
) -> Result<Part, LogError> {
    let mut part = Part::default();
    let mut answers = ANSWERS;
    match keep {
        LogPart::Head => {
            let mut next = 0;
            while next < log.lines && answers > 0 && part.text.len() <= most {
                let (text, count) = some(from, log, next, log.lines.min(next + STEP)).await?;
                answers -= 1;
                if count == 0 {
                    break;
                }
                next += count;
                part.text.push_str(&text);
            }
            part.cut = next < log.lines || part.text.len() > most;
            cut_end(&mut part.text, most);
        }
        LogPart::Tail => {
            let mut end = log.lines;
            while end > 0 && answers > 0 && part.text.len() <= most {
                let first = (end - 1) / STEP * STEP;
                let (mut next, mut piece) = (first, String::new());
                while next < end && answers > 0 {
                    let (text, count) = some(from, log, next, end).await?;
                    answers -= 1;
                    if count == 0 {
                        break;
                    }
                    next += count;
                    piece.push_str(&text);
                    part.cut |= cut_begin(&mut piece, most);
                }
                piece.push_str(&part.text);
                part.text = piece;
                end = first;
            }
            part.cut |= cut_begin(&mut part.text, most) || end > 0;
        }
    }
    Ok(part)
}

/// Lines from `first` up to `end`, as many as one answer has: their text, and how many the log
/// counts.
async fn some(
    from: &impl Lines,
    log: &Wanted,
    first: u64,
    end: u64,
) -> Result<(String, u64), LogError> {
    let chunk = from.lines(log.id, first, end - first).await?;
    let mut text = String::with_capacity(chunk.text.len());
    for line in chunk.lines() {
        let shown = if log.kind == LogKind::Stdio {
            // The channel's letter. Header lines hold the command and the environment.
            match line.split_at_checked(1) {
                Some(("h", _)) => continue,
                Some((_, rest)) => rest,
                None => line,
            }
        } else {
            line
        };
        text.push_str(shown);
        text.push('\n');
    }
    Ok((text, chunk.count()))
}

/// Keeps whole lines at the end of a text; a part of the last one where that is longer.
fn cut_begin(text: &mut String, most: usize) -> bool {
    let Some(over) = text.len().checked_sub(most).filter(|over| *over > 0) else { return false };
    // A line that begins just there is whole.
    let line = text.as_bytes()[over - 1..].iter().position(|b| *b == b'\n').map(|at| over + at);
    let at = line.filter(|at| *at < text.len()).unwrap_or_else(|| text.ceil_char_boundary(over));
    text.drain(..at);
    true
}

/// Keeps whole lines at the beginning of a text; a part of the first one where that is longer.
fn cut_end(text: &mut String, most: usize) {
    if text.len() > most {
        let at = text.as_bytes()[..most].iter().rposition(|b| *b == b'\n').map(|at| at + 1);
        text.truncate(at.unwrap_or_else(|| text.floor_char_boundary(most)));
    }
}

/// What is attached of a log: its part, with a note where something is left out.
///
/// # Errors
/// Those that may pass: a log that is gone is said to be that.
pub async fn attachment(
    from: &impl Lines,
    log: &Wanted,
    most: usize,
    keep: LogPart,
) -> Result<String, LogError> {
    if most < LEAST {
        return Ok(note(log, "This log is left out, since the mail would be too large."));
    }
    if log.kind == LogKind::Deleted {
        return Ok(note(log, "The master has deleted this log."));
    }
    let part = match read(from, log, most, keep).await {
        Err(LogError::Master(ClientError::NotFound(_))) => {
            return Ok(note(log, "The master has this log no more."));
        }
        other => other?,
    };
    if !part.cut {
        return Ok(part.text);
    }
    if log.whole {
        return Ok(note(log, "This patch is left out, since the mail would be too large."));
    }
    let (count, lines) = (part.count(), log.lines);
    let which = match keep {
        LogPart::Tail => "last",
        LogPart::Head => "first",
    };
    let note =
        note(log, &format!("Only the {which} {count} lines of this log are here; it has {lines}."));
    Ok(match keep {
        LogPart::Tail => format!("{note}\n{}", part.text),
        LogPart::Head => format!("{}\n{note}", part.text),
    })
}

/// A note that stands where text is left out.
pub fn note(log: &Wanted, what: &str) -> String {
    let mut note = format!("[{what}");
    if let Some(url) = &log.url {
        // Writing to a String can't fail.
        let _ = write!(note, " All of it: {url}");
    }
    note.push_str("]\n");
    note
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Lines, Part, Wanted, attachment, read};
    use crds::LogPart::{self, Head, Tail};
    use feed::{ClientError, LogChunk, LogError};
    use model::{Log, LogId, LogKind};
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A log in memory whose answers have at most so many lines.
    struct Told {
        lines: Vec<String>,
        most: usize,
        asked: AtomicUsize,
    }

    impl Told {
        fn new(lines: impl IntoIterator<Item = String>, most: usize) -> Self {
            Self { lines: lines.into_iter().collect(), most, asked: AtomicUsize::new(0) }
        }

        fn wanted(&self, kind: LogKind) -> Wanted {
            let log = Log { kind, lines: self.lines.len() as u64, ..Log::default() };
            let url = Some("http://ci/log".to_owned());
            Wanted::new("compile.stdio".to_owned(), false, url, &log)
        }
    }

    impl Lines for Told {
        async fn lines(&self, _: LogId, first: u64, limit: u64) -> Result<LogChunk, LogError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let lines = self.lines.iter().skip(usize::try_from(first).unwrap());
            let lines = lines.take(usize::try_from(limit).unwrap().min(self.most));
            Ok(LogChunk { first, text: lines.map(|line| format!("{line}\n")).collect() })
        }
    }

    fn part(log: &Told, most: usize, keep: LogPart) -> Part {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(log, &log.wanted(LogKind::Stdio), most, keep)).unwrap()
    }

    #[test]
    fn m04_lines_about_the_command_and_its_environment_are_left_out() {
        let log = ["hsh test.sh", "h PASSWORD=hunter2", "oone", "etwo", "o", "hexit 1"];
        let log = Told::new(log.map(str::to_owned), 10);
        for keep in [Tail, Head] {
            assert_eq!(part(&log, 100, keep), Part { text: "one\ntwo\n\n".into(), cut: false });
        }
    }

    #[test]
    fn m04_of_a_log_that_is_too_large_whole_lines_at_its_end_or_beginning_are_kept() {
        let log = Told::new((0..5000).map(|n| format!("o{n}")), 700);
        let tail = part(&log, 12, Tail);
        assert_eq!(tail, Part { text: "4998\n4999\n".into(), cut: true });
        assert_eq!(part(&log, 10, Tail).text, "4998\n4999\n", "as many bytes as there is room for");
        assert_eq!(part(&log, 9, Head), Part { text: "0\n1\n2\n3\n".into(), cut: true });
        let long = Told::new(["oa".to_owned(), format!("o{}", "é".repeat(50))], 10);
        assert_eq!(part(&long, 6, Tail).text, "éé\n");
        assert_eq!(part(&long, 1, Head).text, "a");
    }

    #[test]
    fn m04_what_is_asked_of_a_log_of_any_length_is_bounded() {
        let log = Told::new((0..1_000_000).map(|n| format!("o{n}")), 1000);
        assert!(part(&log, 30_000, Tail).cut);
        assert!(log.asked.load(Ordering::Relaxed) < 10);
        let headers = Told::new((0..200_000).map(|_| "hx".to_owned()), 1000);
        assert_eq!(part(&headers, 100, Tail), Part { text: String::new(), cut: true });
        assert_eq!(headers.asked.load(Ordering::Relaxed), 64);
    }

    #[tokio::test]
    async fn m04_what_is_left_out_is_said_with_the_address_of_the_whole() {
        let log = Told::new((0..1000).map(|n| format!("o{n}")), 1000);
        let wanted = log.wanted(LogKind::Stdio);
        let tail = attachment(&log, &wanted, 300, Tail).await.unwrap();
        let note = "[Only the last 75 lines of this log are here; it has 1000. All of it: http://ci/log]\n";
        assert!(tail.starts_with(&format!("{note}\n925\n")) && tail.ends_with("\n999\n"), "{tail}");
        let head = attachment(&log, &wanted, 300, Head).await.unwrap();
        assert!(head.starts_with("0\n1\n") && head.contains("\n[Only the first "), "{head}");
        let none = attachment(&log, &wanted, 10, Tail).await.unwrap();
        assert!(none.starts_with("[This log is left out, since the mail would be too large. "));
        assert_eq!(log.asked.load(Ordering::Relaxed), 2, "what has no room is not asked for");
        let deleted = attachment(&log, &log.wanted(LogKind::Deleted), 300, Tail).await.unwrap();
        assert!(deleted.starts_with("[The master has deleted this log."));
    }

    #[tokio::test]
    async fn m04_a_log_that_is_gone_is_said_and_other_failures_are_told() {
        struct Failing(ClientError);
        impl Lines for Failing {
            async fn lines(&self, _: LogId, _: u64, _: u64) -> Result<LogChunk, LogError> {
                Err(self.0.clone().into())
            }
        }
        let log = Told::new(["oa".to_owned()], 1).wanted(LogKind::Stdio);
        let gone = Failing(ClientError::NotFound("log".into()));
        let text = attachment(&gone, &log, 1000, Tail).await.unwrap();
        assert!(text.starts_with("[The master has this log no more."), "{text}");
        let away = Failing(ClientError::Unreachable("x".into()));
        assert!(attachment(&away, &log, 1000, Tail).await.is_err());
    }

    proptest! {
        #[test]
        fn a_part_is_within_its_bound_and_is_the_end_or_the_beginning_of_the_whole(
            lines in proptest::collection::vec("[oeh][aé]{0,9}", 0..60),
            most in 1usize..200,
            answer in 1usize..7,
        ) {
            let whole: String = lines
                .iter()
                .filter(|line| !line.starts_with('h'))
                .map(|line| format!("{}\n", &line[1..]))
                .collect();
            let log = Told::new(lines, answer);
            for keep in [Tail, Head] {
                let part = part(&log, most, keep);
                prop_assert!(part.text.len() <= most);
                match keep {
                    Tail => prop_assert!(whole.ends_with(&part.text)),
                    Head => prop_assert!(whole.starts_with(&part.text)),
                }
                prop_assert_eq!(part.cut, part.text != whole);
            }
        }
    }
}
