//! What a process tells its feed of itself: whether its peer answers, and which settings it waits
//! for. Nothing waits for a report, and one that does not arrive is only logged.

use super::Running;
use delivery::TargetState;
use feed::{AnyFeed, Fault, Report};
use master::StateKind;
use std::time::Duration;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// The least time between two reports.
const LEAST: Duration = Duration::from_secs(5);
/// How often a report is sent that did not change: the feed forgets those that are older than ten
/// minutes.
const AGAIN: Duration = Duration::from_secs(60);

/// What the process of one target, or of pages, says of itself; clones are one.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    report: watch::Sender<Report>,
}

impl Running {
    /// Has the feed told of the resource that its journal knows by `name`.
    pub(super) fn reporter(
        &mut self,
        feed: &AnyFeed,
        name: String,
        kind: &'static str,
    ) -> Reporter {
        let (report, told) = watch::channel(Report::default());
        self.tasks.spawn(run(feed.clone(), (name, kind), told, self.cancel.clone()));
        Reporter { report }
    }

    /// Has a target's report follow its loop.
    pub(super) fn follow_peer(
        &mut self,
        reporter: &Reporter,
        mut state: watch::Receiver<TargetState>,
    ) {
        let (report, cancel) = (reporter.report.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            loop {
                let peer = state.borrow_and_update().peer.clone();
                report.send_if_modified(|report| {
                    let changed = report.peer != peer;
                    report.peer = peer;
                    changed
                });
                tokio::select! {
                    () = cancel.cancelled() => return,
                    changed = state.changed() => if changed.is_err() { return },
                }
            }
        });
    }
}

impl Reporter {
    /// Says which settings can't be used, or that all can.
    pub(super) fn problem(&self, problem: Option<Fault>) {
        self.report.send_if_modified(|report| {
            let changed = report.problem != problem;
            report.problem = problem;
            changed
        });
    }
}

/// Sends what changed, at most one report in five seconds, and all of it now and then and once the
/// feed is back.
async fn run(
    feed: AnyFeed,
    (name, kind): (String, &'static str),
    mut report: watch::Receiver<Report>,
    cancel: CancellationToken,
) {
    let mut master = feed.state();
    let mut said = None;
    loop {
        let newest = report.borrow_and_update().clone();
        let sent = tokio::select! {
            () = cancel.cancelled() => return,
            sent = feed.report(&name, kind, &newest) => sent,
        };
        let failed = sent.err().map(|error| error.to_string());
        if let Some(text) = &failed
            && failed != said
        {
            tracing::info!(kind, name, "the feed does not hear how this fares: {text}");
        }
        said = failed;
        tokio::select! {
            () = cancel.cancelled() => return,
            () = sleep(LEAST) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = changed(&mut report) => {}
            () = back(&mut master) => {}
            () = sleep(AGAIN) => {}
        }
    }
}

/// Until there is something new to say; for ever once nobody is left who would.
async fn changed(report: &mut watch::Receiver<Report>) {
    if report.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Until the feed answers after it was away.
async fn back(master: &mut watch::Receiver<master::MasterState>) {
    let away = |state: &master::MasterState| state.kind == StateKind::FeedAway;
    if master.wait_for(away).await.is_err() || master.wait_for(|state| !away(state)).await.is_err()
    {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::health::Health;
    use feed::{Feed, Options, PeerState};

    /// Waits for what the feed heard of `mail/main`. The clock is the test's own: it jumps to the
    /// next thing that is waited for.
    async fn heard(feed: &Feed, until: impl Fn(&Report) -> bool) -> Report {
        loop {
            if let Some(reader) = feed.readers().into_iter().find(|r| r.name == "mail/main")
                && until(&reader.report)
            {
                return reader.report;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_is_told_and_no_more_often_than_once_in_five_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let feed = Feed::open(dir.path(), Options::default()).unwrap();
        let mut running = Running::new(&Health::new().unwrap());
        let any = AnyFeed::from(feed.clone());
        let reporter = running.reporter(&any, "mail/main".to_owned(), "MailNotifier");
        heard(&feed, |report| report.peer.state == PeerState::Unknown).await;
        let began = tokio::time::Instant::now();
        let state = watch::Sender::new(TargetState::default());
        running.follow_peer(&reporter, state.subscribe());
        state.send_modify(|s| s.peer.attempted(Some(("Transient", "no connection"))));
        let report = heard(&feed, |report| report.peer.state == PeerState::Unreachable).await;
        assert_eq!(report.peer.message, "no connection");
        assert!(began.elapsed() >= LEAST - Duration::from_millis(200), "{:?}", began.elapsed());

        reporter.problem(Some(Fault::new("SecretMissing", "there is no Secret")));
        let report = heard(&feed, |report| report.problem.is_some()).await;
        assert_eq!(report.peer.state, PeerState::Unreachable, "it stays said");
        reporter.problem(None);
        heard(&feed, |report| report.problem.is_none()).await;
        // Forgotten by the feed, as by one that was started anew: said again by itself.
        feed.forget("mail/main").await.unwrap();
        drop(reporter);
        heard(&feed, |report| report.peer.state == PeerState::Unreachable).await;
        running.end(Duration::from_secs(1)).await;
    }
}
