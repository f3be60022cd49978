//! A wall clock that is wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The wall clock of the processes: libfaketime with a file that says by how much it is off.
#[derive(Clone, Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is right; `None` where libfaketime is not installed.
    pub fn new(folder: &Path) -> Option<Self> {
        let name = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        let others = [
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib64/faketime/libfaketimeMT.so.1",
        ];
        let library =
            std::iter::once(name).chain(others).map(PathBuf::from).find(|p| p.exists())?;
        let clock = Self { library, file: folder.join("clock") };
        clock.off_by(0);
        Some(clock)
    }

    /// Sets how many seconds it is off.
    pub fn off_by(&self, seconds: i64) {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{seconds:+}")).unwrap();
        fs::rename(fresh, &self.file).unwrap();
    }

    /// Has a process see it.
    pub(super) fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            // Timers go on: only what the clock says is wrong.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}
