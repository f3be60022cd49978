//! Figures of the machine, of processes (from `/proc`) and of samples.

use crate::Measured;
use std::{
    fs,
    io::{Seek as _, Write as _},
    time::{Duration, Instant},
};

/// Clock ticks a second in `/proc`: fixed on Linux.
const TICKS: f64 = 100.0;

/// The machine and what else it does, for the head of a measurement's output.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    format!("{cores} cores, load {load} before the start")
}

/// How long the disk under the folder for temporary files takes to keep 4 KiB: median of 100 times.
///
/// # Errors
/// The disk's.
pub fn disk() -> Measured<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..100 {
        file.rewind()?;
        file.write_all(&[7; 4096])?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    Ok(quantile(&mut times, 0.5))
}

/// The value below which `share` (0 to 1) of the samples lie; zero without samples.
pub fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let place = (last as f64 * share).round() as usize;
    samples.get(place).copied().unwrap_or_default()
}

/// Milliseconds, for printing.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Seconds of processor time that a process has used; `None` once it is gone.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    cpu(&format!("/proc/{process}/stat"))
}

/// Seconds of processor time by the name of this process's threads, the busiest first.
pub fn threads() -> Vec<(String, f64)> {
    let mut by_name = std::collections::BTreeMap::<String, f64>::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let used = cpu(&thread.path().join("stat").to_string_lossy()).unwrap_or_default();
        *by_name.entry(name.trim().to_owned()).or_default() += used;
    }
    let mut threads: Vec<_> = by_name.into_iter().collect();
    threads.sort_by(|a, b| b.1.total_cmp(&a.1));
    threads
}

/// Resident memory of a process in KiB; `None` once it is gone.
pub fn resident(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// User and system time of a `stat` file: fields 14 and 15, counted after the name in brackets.
fn cpu(path: &str) -> Option<f64> {
    let stat = fs::read_to_string(path).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}
