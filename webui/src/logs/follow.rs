//! A log that is written, line by line.
//!
//! While somebody reads here the feed has the master tell of the log's growth, which comes as a
//! change of the view. So the master is asked for lines when there are some, and now and then
//! all the same: what was told may be lost on the way.

use super::{CHUNK, Lines, LogText, stream::ended_once};
use axum::response::sse::Event;
use feed::LogWatch;
use futures_util::{Stream, stream};
use model::{LogId, LogKind};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The longest wait before lines are asked for that nobody told of, at first and ever. Short at
/// first: lines that come before the master knows that somebody follows are not told.
const UNTOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The least time between two questions of one reader, and after one that failed.
const APART: Duration = Duration::from_millis(250);
const FAILED: Duration = Duration::from_secs(1);
/// After how many failures in a row a reader is left to load the page again.
const FAILURES: u32 = 60;

/// How far a log that is written has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Lines so far.
    pub lines: u64,
    /// Whether no more come.
    pub complete: bool,
}

/// Lines as they are written, from line `next` (from 0) on: `lines` events with HTML, then
/// `end`. `progress` tells how far the log is, `None` once it is unknown; it is asked whenever
/// `changed` says so.
pub fn follow<P: Fn() -> Option<Progress> + Send + 'static>(
    source: Arc<dyn LogText>,
    (log, kind): (LogId, LogKind),
    next: u64,
    progress: P,
    changed: watch::Receiver<u64>,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + use<P> {
    let now = Instant::now();
    let reader = Reader {
        _watch: source.watch(log),
        source,
        log,
        renderer: Lines::new(kind),
        next,
        progress,
        changed,
        told: None,
        due: now,
        untold: UNTOLD.0,
        not_before: now,
        failures: 0,
    };
    let events = stream::unfold(Some(reader), async |reader| {
        let (event, reader) = reader?.event().await;
        Some((Ok(event), reader))
    });
    ended_once(events)
}

struct Reader<P> {
    source: Arc<dyn LogText>,
    _watch: Option<LogWatch>,
    log: LogId,
    renderer: Lines,
    next: u64,
    progress: P,
    changed: watch::Receiver<u64>,
    /// The lines that were told of before the last question, if it brought none.
    told: Option<u64>,
    /// When lines are asked for that nobody told of, and how long after that again.
    due: Instant,
    untold: Duration,
    not_before: Instant,
    failures: u32,
}

impl<P: Fn() -> Option<Progress>> Reader<P> {
    /// The next event; no reader is left after the last one.
    async fn event(mut self) -> (Event, Option<Self>) {
        loop {
            // What changes from here on is seen below.
            self.changed.mark_unchanged();
            let now = (self.progress)();
            let done = now.is_none_or(|p| p.complete);
            let told = now.map(|p| p.lines);
            let news = told > Some(self.next) && told != self.told;
            if done || news || Instant::now() >= self.due {
                sleep_until(self.not_before).await;
                match self.ask().await {
                    Some(lines) => return (lines, Some(self)),
                    None if done && self.failures == 0 => return (end(), None),
                    None if now.is_none() || self.failures > FAILURES => return (end(), None),
                    None => self.told = told,
                }
            }
            tokio::select! {
                Ok(()) = self.changed.changed() => {}
                () = sleep_until(self.due) => {}
            }
        }
    }

    /// Asks for lines; `None` where there are none, or a failure is counted.
    async fn ask(&mut self) -> Option<Event> {
        let answer = self.source.lines(self.log, self.next, CHUNK).await;
        let now = Instant::now();
        self.due = now + self.untold;
        self.untold = (self.untold * 2).min(UNTOLD.1);
        let chunk = match answer {
            Ok(chunk) => chunk,
            Err(error) => {
                tracing::debug!(log = %self.log, %error, "lines of a log that is followed are not to be had now");
                self.failures += 1;
                self.not_before = now + FAILED;
                self.due = self.not_before;
                return None;
            }
        };
        (self.failures, self.told) = (0, None);
        let count = chunk.count();
        // More than one answer holds is not worth a pause.
        self.not_before = if count < CHUNK { now + APART } else { now };
        if count == 0 {
            return None;
        }
        let mut out = String::new();
        self.renderer.chunk(&chunk, &mut out);
        self.renderer.end(&mut out);
        self.next = chunk.first + count;
        // Each line of HTML is a paragraph; line feeds mean nothing between them.
        let event = Event::default().event("lines").data(out.replace(['\n', '\r'], ""));
        // The number of the line that comes next, which a browser repeats when it connects again.
        Some(event.id((self.next + 1).to_string()))
    }
}

fn end() -> Event {
    Event::default().event("end").data("end")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use feed::LogError;
    use futures_util::{FutureExt, StreamExt, future::BoxFuture};
    use master::{ClientError, LogChunk};
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };

    /// Text that counts who asks for it, and can fail.
    #[derive(Debug, Default)]
    struct Text {
        lines: AtomicU64,
        fails: AtomicBool,
        asked: Mutex<Vec<Instant>>,
    }

    impl LogText for Text {
        fn lines(
            &self,
            _: LogId,
            first: u64,
            limit: u64,
        ) -> BoxFuture<'_, Result<LogChunk, LogError>> {
            self.asked.lock().unwrap().push(Instant::now());
            let last = self.lines.load(Ordering::Relaxed).min(first + limit);
            let text = (first..last).map(|n| format!("oline {n}\n")).collect();
            let fails = self.fails.load(Ordering::Relaxed);
            let failure = || LogError::Master(ClientError::Unreachable("away".to_owned()));
            async move { if fails { Err(failure()) } else { Ok(LogChunk { first, text }) } }.boxed()
        }
    }

    struct Log {
        text: Arc<Text>,
        progress: Arc<Mutex<Option<Progress>>>,
        changed: watch::Sender<u64>,
    }

    impl Log {
        fn new() -> Self {
            let progress = Progress { lines: 0, complete: false };
            Self {
                text: Arc::default(),
                progress: Arc::new(Mutex::new(Some(progress))),
                changed: watch::Sender::new(0),
            }
        }

        fn follow(&self) -> impl Stream<Item = String> + Unpin + use<> {
            let progress = Arc::clone(&self.progress);
            let told = move || *progress.lock().unwrap();
            let what = (LogId(1), LogKind::Stdio);
            let events = follow(self.text.clone(), what, 0, told, self.changed.subscribe());
            Box::pin(events.map(|event| format!("{event:?}")))
        }

        /// Lines are written, and told of or not.
        fn write(&self, lines: u64, told: bool) {
            self.text.lines.store(lines, Ordering::Relaxed);
            if told {
                self.tell(Progress { lines, complete: false });
            }
        }

        fn tell(&self, progress: Progress) {
            *self.progress.lock().unwrap() = Some(progress);
            self.changed.send_modify(|n| *n += 1);
        }

        fn asked(&self) -> usize {
            self.text.asked.lock().unwrap().len()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn p13_lines_that_are_told_of_come_at_once_and_silence_asks_seldom() {
        let log = Log::new();
        let mut events = log.follow();
        let began = Instant::now();
        // In the first minute: at 0, 1, 3, 7 and 15 seconds, and every fifteen after that.
        let nothing = tokio::time::timeout(Duration::from_secs(59), events.next()).await;
        assert!(nothing.is_err() && log.asked() == 7, "{}", log.asked());
        log.write(2, true);
        let told = Instant::now();
        let lines = events.next().await.unwrap();
        assert!(lines.contains("line 0") && lines.contains("line 1"), "{lines}");
        assert_eq!(told.elapsed(), Duration::ZERO);
        // Changes of other things ask nothing.
        let asked = log.asked();
        for _ in 0..50 {
            log.changed.send_modify(|n| *n += 1);
            assert!(events.next().now_or_never().is_none());
        }
        assert_eq!(log.asked(), asked);
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn p13_lines_that_nobody_told_of_come_within_fifteen_seconds() {
        let log = Log::new();
        let mut events = log.follow();
        let _ = tokio::time::timeout(Duration::from_secs(100), events.next()).await;
        log.write(1, false);
        let written = Instant::now();
        assert!(events.next().await.unwrap().contains("line 0"));
        assert!(written.elapsed() <= UNTOLD.1, "{:?}", written.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn p13_a_log_that_grows_fast_is_asked_for_four_times_a_second_at_most() {
        let log = Log::new();
        let mut events = log.follow();
        let began = Instant::now();
        for lines in 1..=200 {
            log.write(lines, true);
            let _ = events.next().now_or_never();
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert!((6..=10).contains(&log.asked()), "{}", log.asked());
        // A log of many chunks is not slowed down.
        log.write(10_000, true);
        let asked = log.asked();
        let chunks = Instant::now();
        while log.asked() < asked + 10 {
            events.next().await.unwrap();
        }
        assert!(chunks.elapsed() <= APART, "{:?}", chunks.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn p13_the_end_comes_after_the_last_line_or_when_the_log_is_unknown() {
        let log = Log::new();
        log.write(1, false);
        log.tell(Progress { lines: 1, complete: true });
        let events: Vec<String> = log.follow().collect().await;
        assert!(events.len() == 2 && events[1].contains("end"), "{events:?}");
        *log.progress.lock().unwrap() = None;
        assert_eq!(log.follow().count().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn p13_a_master_that_is_away_is_asked_once_a_second_for_a_minute() {
        let log = Log::new();
        log.write(1, true);
        log.text.fails.store(true, Ordering::Relaxed);
        let mut events = log.follow();
        let nothing = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        assert!(nothing.is_err() && (20..=21).contains(&log.asked()), "{}", log.asked());
        log.text.fails.store(false, Ordering::Relaxed);
        assert!(events.next().await.unwrap().contains("line 0"));
        log.text.fails.store(true, Ordering::Relaxed);
        log.tell(Progress { lines: 2, complete: false });
        let failing = Instant::now();
        assert!(events.next().await.unwrap().contains("end"));
        assert!(failing.elapsed() >= Duration::from_secs(59), "{:?}", failing.elapsed());
        assert!(events.next().await.is_none());
    }
}
