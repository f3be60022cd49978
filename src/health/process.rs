//! Figures of the process itself: its version, its memory and the limit of that.

use prometheus::{Error, Gauge, IntGauge, Opts, Registry};
use std::{fs, path::PathBuf};

/// Registers the figures of this process.
///
/// # Errors
/// Figures of these names are there already.
pub fn register(registry: &Registry) -> Result<(), Error> {
    let build = IntGauge::with_opts(
        Opts::new("buildbot_status_build_info", "The program that runs; always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION")),
    )?;
    build.set(1);
    registry.register(Box::new(build))?;
    let limit = Gauge::new(
        "buildbot_status_memory_limit_bytes",
        "Memory that the process may use by its cgroup; +Inf without a limit.",
    )?;
    limit.set(memory_limit().unwrap_or(f64::INFINITY));
    registry.register(Box::new(limit))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(())
}

/// The lowest memory limit of the process's cgroup (version 2) and those above it, in bytes.
#[allow(clippy::cast_precision_loss, reason = "a limit needs no more than 53 bits")]
fn memory_limit() -> Option<f64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = PathBuf::from("/sys/fs/cgroup").join(path);
    let read = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let above = group.ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup"));
    above.filter_map(|folder| read(folder.join("memory.max"))).min().map(|bytes| bytes as f64)
}
