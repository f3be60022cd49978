//! Ends the process when a case takes for ever, or all memory: neither can be caught as a panic can.

use std::{
    fs,
    io::Write as _,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// Cases take milliseconds. A machine that is busy may take a hundred times as long, but not this.
const LONGEST: Duration = Duration::from_secs(60);
/// Of the whole process; the tests of a room together hold some hundred megabytes.
const MOST: u64 = 3 << 30;
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// Watches the cases of one test. Dropping it ends the watch.
pub(crate) struct Watchdog {
    began: Instant,
    present: Arc<Present>,
    _end: mpsc::Sender<()>,
}

#[derive(Default)]
struct Present {
    case: AtomicU64,
    /// Milliseconds after the start, plus one; 0 while none runs.
    since: AtomicU64,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Watchdog {
    pub(crate) fn start(name: &str, seed: u64) -> Self {
        let (began, present) = (Instant::now(), Arc::new(Present::default()));
        let (end, ended) = mpsc::channel();
        let (name, watched) = (name.to_owned(), Arc::clone(&present));
        thread::spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let since = watched.since.load(Relaxed);
                if since == 0 {
                    continue;
                }
                let takes = milliseconds(began.elapsed()).saturating_sub(since);
                let fault = if takes > milliseconds(LONGEST) {
                    format!("takes more than {} s", LONGEST.as_secs())
                } else if resident() > MOST {
                    format!("runs while the process takes more than {} GiB", MOST >> 30)
                } else {
                    continue;
                };
                let case = watched.case.load(Relaxed);
                let again = super::again(&name, seed, case);
                // Not `eprintln`, which the test's harness keeps until the test ends.
                let _ = writeln!(
                    std::io::stderr(),
                    "{name}: case {case} of seed {seed} {fault}\n{again}"
                );
                process::exit(101);
            }
        });
        Self { began, present, _end: end }
    }

    pub(crate) fn begin(&self, case: u64) {
        self.present.case.store(case, Relaxed);
        self.present.since.store(milliseconds(self.began.elapsed()) + 1, Relaxed);
    }

    pub(crate) fn rest(&self) {
        self.present.since.store(0, Relaxed);
    }
}

/// Bytes of memory that the process holds; 0 where nobody says.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.as_deref().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
