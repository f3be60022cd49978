//! Forgetting consumers that do not come back.

use super::{Writer, consumers::Changes};
use crate::{StoreError, consumer::core::Core};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How far the time that a consumer is away may run ahead of what is on disk.
const UNWRITTEN: Duration = Duration::from_secs(3600);

impl Writer {
    /// Forgets the consumers that nobody had open for [`crate::Options::forget_after`]. Time counts
    /// while the journal is open, by a clock that never jumps: after a long outage of the journal
    /// itself, or a leap of the machine's clock, everybody is still known.
    pub(super) fn forget_the_gone(&mut self) -> Result<(), StoreError> {
        let passed = self.looked.elapsed();
        self.looked = Instant::now();
        let forget_after = self.options.forget_after;
        let consumers: Vec<Arc<Core>> = self.shared.consumers().values().cloned().collect();
        let (mut gone, mut write) = (Vec::new(), Vec::new());
        for core in consumers {
            let present = core.is_present();
            let mut state = core.lock();
            let away = if present { Duration::ZERO } else { ms(state.away_ms) + passed };
            state.away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
            if !present && away > forget_after {
                gone.push((core.name.clone(), away));
            } else if away.saturating_sub(ms(state.row.away_ms)) > UNWRITTEN.min(forget_after / 8)
                || (present && state.row.away_ms > 0)
            {
                write.push(core.name.clone());
            }
        }
        if gone.is_empty() && write.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        self.shared.store.write(|transaction| {
            for name in &write {
                // Takes along what is known of the time.
                changes.change(&self.shared, name);
            }
            for (name, _) in &gone {
                if let Some(change) = changes.change(&self.shared, name) {
                    change.forget(transaction)?;
                }
            }
            changes.write(transaction)
        })?;
        for (consumer, away) in &gone {
            self.shared.metrics.forgotten();
            let days = away.as_secs() / 86_400;
            tracing::warn!(
                consumer,
                away_seconds = away.as_secs(),
                "forgotten with its dead letters: nobody had it open for {days} days"
            );
        }
        if changes.install(&self.shared) {
            self.save_sidecar();
        }
        Ok(())
    }
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}
