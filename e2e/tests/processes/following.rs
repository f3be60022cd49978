//! A log that is followed on a page (P13): the master tells of its lines while somebody reads, and only
//! then, whether the pages are in the feed's process or in another.

use crate::rig::{PATIENCE, Rig};
use e2e::{Lab, Mailbox, Receiver, Standalone, figure, free_port, manifests, wait_until};
use tokio::time::{Instant, timeout};

/// Somebody who reads the log from its first line on.
struct Reader {
    answer: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(url: &str) -> Self {
        let answer = wait_until("the log is there", PATIENCE, async || {
            reqwest::get(url).await.ok()?.error_for_status().ok()
        })
        .await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// Reads until this came.
    async fn reads(&mut self, wanted: &str) {
        let read = async {
            while !self.text.contains(wanted) {
                let piece = self.answer.chunk().await.unwrap().expect("the stream goes on");
                self.text.push_str(std::str::from_utf8(&piece).unwrap());
            }
        };
        let came = timeout(PATIENCE, read).await;
        assert!(came.is_ok(), "{wanted} did not come:\n{}", self.text);
    }
}

/// Figures of the process that has the journal.
struct Feed(u16);

impl Feed {
    async fn watched(&self, logs: f64) {
        wait_until("the master is asked to tell of so many logs", PATIENCE, async || {
            (figure(self.0, "buildbot_status_master_logs_watched").await? == logs).then_some(())
        })
        .await;
    }

    /// Frames about logs, and questions for lines.
    async fn counts(&self) -> (f64, f64) {
        let frames = figure(self.0, "buildbot_status_master_frames_total{kind=\"logs\"").await;
        let asked = "buildbot_status_master_request_seconds_count{endpoint=\"logs/contents\"";
        (frames.unwrap(), figure(self.0, asked).await.unwrap_or(0.0))
    }
}

/// Lines that the master has of the build's log.
async fn written(lab: &Lab) -> Option<u64> {
    let steps = lab.get("builds/1/steps?name=dictation").await?;
    let logs = lab.get(&format!("steps/{}/logs", steps["steps"][0]["stepid"])).await?;
    logs["logs"][0]["num_lines"].as_u64()
}

async fn a_log_is_followed(lab: &Lab, pages: &str, feed: Feed) {
    lab.force("dictation").await;
    let log = format!("{pages}builders/dictation/builds/1/steps/dictation/logs/stdio/live?first=1");
    let mut first = Reader::open(&log).await;
    feed.watched(1.0).await;
    let mut second = Reader::open(&log).await;
    let (frames, asked) = feed.counts().await;
    let began = Instant::now();
    for number in 1..=4 {
        lab.dictate(&format!("said {number}"));
        first.reads(&format!("said {number}")).await;
        second.reads(&format!("said {number}")).await;
    }
    let (more_frames, more_asked) = feed.counts().await;
    assert!(more_frames - frames >= 4.0, "each line was told of: {frames} to {more_frames}");
    // Two readers each ask once a line, and in silence four times at first, then every fifteen seconds.
    let silent = 2.0 * (4.0 + began.elapsed().as_secs_f64() / 15.0);
    assert!(more_asked - asked <= 8.0 + silent, "{asked} to {more_asked}");

    drop(first);
    lab.dictate("said 5");
    second.reads("said 5").await;
    feed.watched(1.0).await;
    drop(second);
    feed.watched(0.0).await;
    let (frames, asked) = feed.counts().await;
    for _ in 0..4 {
        let before = written(lab).await.unwrap();
        lab.dictate("said to nobody");
        wait_until("the master has the line", PATIENCE, async || {
            (written(lab).await? > before).then_some(())
        })
        .await;
    }
    let (more_frames, more_asked) = feed.counts().await;
    assert!(more_frames - frames < 3.0, "nobody is told: {frames} to {more_frames}");
    assert_eq!(more_asked, asked, "nobody asks");

    let mut third = Reader::open(&log).await;
    third.reads("said to nobody").await;
    lab.dictate("end");
    third.reads("event: end").await;
    feed.watched(0.0).await;
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_a_followed_log_is_told_of_by_the_master_over_the_feed_elsewhere() {
    let rig = Rig::start_with(&["--dictation"]).await;
    let port = free_port();
    let pages = rig.target("pages", &rig.pages_on(port), "pages").await;
    a_log_is_followed(&rig.lab, &address(port), Feed(rig.feed.metrics())).await;
    pages.end().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_a_followed_log_is_told_of_by_the_master_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let lab = Lab::start(at, 0.1, &["--dictation"]).await;
    let (mailbox, receiver) = (Mailbox::start(at).await, Receiver::start().await);
    let port = free_port();
    let text = manifests(lab.port(), mailbox.port(), &receiver.url());
    let text = text.replace("tcp:0:", &format!("tcp:{port}:"));
    let mut standalone = Standalone::start(at, "data", &text);
    standalone.connected().await;
    a_log_is_followed(&lab, &address(port), Feed(standalone.metrics())).await;
    standalone.end().await;
    lab.end().await;
}
