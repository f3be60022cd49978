//! Processes that end with the test, and waiting for what they do.

use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    env,
    fs::File,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A process with a group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to `output`.
    pub fn start(command: &mut Command, output: &Path) -> Self {
        let file = File::options().create(true).append(true).open(output).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, output: output.to_owned() }
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        // A group that is gone needs no signal.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits for the end; after `patience` the test fails.
    pub async fn end(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                begin.elapsed() < patience,
                "no end {} s after SIGTERM; {} holds: {}",
                patience.as_secs(),
                self.output.display(),
                self.printed()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Seconds of processor time that it took so far, without its children.
    pub fn processor_seconds(&self) -> f64 {
        // Behind the name in parentheses, which may hold spaces, come state and 10 numbers before these two.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, numbers) = stat.rsplit_once(')').unwrap();
        let ticks = numbers.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap());
        ticks.sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until the answer is there; panics with `what` when it takes longer than `patience`.
pub async fn wait_until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < patience, "waited {} s in vain: {what}", patience.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The interpreter of the environment that `cargo xtask test` makes.
pub fn python() -> PathBuf {
    let venv = env::var_os("BUILDBOT_VENV").expect(
        "BUILDBOT_VENV is not set: run the tests with `cargo xtask test`, which installs Buildbot",
    );
    Path::new(&venv).join("bin/python")
}
