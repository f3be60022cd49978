//! A cluster of this program's own: `e2e/cluster/hold.sh` at the other end of a pipe.

use super::{Tier, cache, script};
use crate::free_port;
use std::{
    fs::{self, File},
    io::{Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A start takes 10 seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Holds the cluster. However this process ends, the pipe closes, and the cluster goes.
#[derive(Debug)]
pub(super) struct Hold {
    state: PathBuf,
    _child: Child,
}

impl Hold {
    /// Starts one, and waits until it is usable; else says why it is not. `name` is among those of this program.
    pub(super) fn start(tier: Tier, name: &str) -> Result<Self, String> {
        let tier = match tier {
            Tier::Control => "control",
            Tier::Node => "node",
        };
        let state = cache().join("tests").join(format!("{tier}-{}-{name}", std::process::id()));
        let output = state.with_extension("out");
        let io = |error: std::io::Error| format!("{}: {error}", output.display());
        fs::create_dir_all(cache().join("tests")).map_err(io)?;
        let mut printed = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&output)
            .map_err(io)?;
        let mut command = script("hold.sh");
        command.env("KSTATE", &state).env("TIER", tier);
        command.env("HOST_PORT", free_port().to_string());
        command.stdin(Stdio::piped());
        command.stdout(printed.try_clone().map_err(io)?).stderr(printed.try_clone().map_err(io)?);
        // Ctrl-C at the terminal is for the tests; the cluster ends in order after them.
        let mut child = command.process_group(0).spawn().map_err(io)?;
        let begin = Instant::now();
        loop {
            let ended = child.try_wait().map_err(io)?;
            // What it wrote moved the place that the handles share.
            let mut text = String::new();
            File::open(&output)
                .and_then(|mut file| file.read_to_string(&mut text))
                .or_else(|_| printed.rewind().and_then(|()| printed.read_to_string(&mut text)))
                .map_err(io)?;
            if text.lines().any(|line| line == "ready") {
                return Ok(Self { state, _child: child });
            }
            if let Some(status) = ended {
                return Err(format!("hold.sh ended with {status}:\n{text}"));
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("it is not up after {} s:\n{text}", PATIENCE.as_secs()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The folder of its state.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }
}
