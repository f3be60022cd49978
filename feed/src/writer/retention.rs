//! Dropping what has outlived its time, a small step at a time.

use super::{Writer, change::Change, consumers::Changes, refill};
use crate::{
    Gap, StoreError,
    shared::{Shared, now_ms},
    store::tables::{self, BUILDS, CHANGES, ConsumerRow, FINISHED, LOGS, NUMBERS, RECORDS, decode},
    users,
};
use model::{Build, Timestamp};
use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};
use std::{sync::atomic::Ordering, time::Duration};

/// Most rows of a table that one step drops.
const STEP: usize = 256;

/// What a step drops.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Records up to this sequence, and their bytes.
    records: Option<(u64, u64)>,
    builds: Vec<u64>,
    changes: Vec<u64>,
    users: Vec<String>,
    /// Whether there may be more.
    more: bool,
}

impl Plan {
    fn is_empty(&self) -> bool {
        let Self { records, builds, changes, users, more: _ } = self;
        records.is_none() && builds.is_empty() && changes.is_empty() && users.is_empty()
    }
}

impl Writer {
    /// Drops a step's worth; true if there is more.
    pub(super) fn maintain(&mut self) -> Result<bool, StoreError> {
        self.agree()?;
        self.forget_the_gone()?;
        let rows: Vec<ConsumerRow> =
            self.shared.consumers().values().map(|core| core.lock().row.clone()).collect();
        let plan = self.shared.store.read(|transaction| self.plan(transaction, &rows))?;
        if !plan.is_empty() {
            self.drop_planned(&plan)?;
        }
        if !plan.more {
            self.tell_gaps();
            self.save_sidecar();
            self.shared.refresh_metrics();
        }
        Ok(plan.more)
    }

    fn plan(
        &self,
        transaction: &ReadTransaction,
        consumers: &[ConsumerRow],
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        let now = self.shared.clock.age_ms();
        let max_age = millis(self.options.retention.max_age);
        let mut bytes = self.journal.bytes;
        for (dropped, row) in transaction.open_table(RECORDS)?.iter()?.enumerate() {
            let (seq, value) = row?;
            let (seq, (journaled_ms, _, value)) = (seq.value(), value.value());
            let age = now.saturating_sub(journaled_ms);
            let wanted = |c: &ConsumerRow| !c.ledger.is_done(seq) && age <= c.max_backlog_ms;
            let outlived = age > max_age || bytes > self.options.retention.max_bytes;
            let over = bytes > self.options.retention.max_backlog_bytes;
            if !over && (!outlived || consumers.iter().any(wanted)) {
                break;
            }
            if dropped == STEP {
                plan.more = true;
                break;
            }
            bytes = bytes.saturating_sub(value.len() as u64);
            plan.records = Some((seq, self.journal.bytes - bytes));
        }
        let builds = transaction.open_table(BUILDS)?;
        let mut excess = builds.len()?.saturating_sub(self.options.history.max_builds);
        for row in builds.iter()? {
            let (id, value) = row?;
            let old = match self.options.history.max_age {
                Some(max_age) if excess == 0 => {
                    let complete_at = decode::<Build>("a build", value.value())
                        .ok()
                        .and_then(|build| build.complete_at)
                        .unwrap_or_default();
                    Timestamp(now / 1000).seconds_since(complete_at) > max_age.as_secs()
                }
                _ => false,
            };
            if excess == 0 && !old {
                break;
            }
            if plan.builds.len() == STEP {
                plan.more = true;
                break;
            }
            excess = excess.saturating_sub(1);
            plan.builds.push(id.value());
        }
        let changes = transaction.open_table(CHANGES)?;
        let excess = changes.len()?.saturating_sub(self.options.history.max_changes);
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        plan.more |= excess > STEP;
        for row in changes.iter()?.take(excess.min(STEP)) {
            plan.changes.push(row?.0.value());
        }
        plan.users = users::outlived(transaction, self.options.history.max_users)?;
        Ok(plan)
    }

    fn drop_planned(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let mut journal = self.journal.clone();
        let mut changes = Changes::default();
        let names: Vec<String> = self.shared.consumers().keys().cloned().collect();
        let mut gaps: Vec<(String, Gap, u64)> = Vec::new();
        let now_ms = self.shared.clock.age_ms();
        self.shared.store.write(|transaction| {
            if let Some((last, bytes)) = plan.records {
                // Read before they go, and only if somebody wants to catch up with them.
                let mut finished = None;
                let mut open = Vec::new();
                for name in &names {
                    let Some(change) = changes.change(&self.shared, name) else { continue };
                    if change.row.ledger.open_up_to(last) > 0 {
                        open.push(name);
                        if finished.is_none() && change.row.catch_up.is_some() {
                            finished = Some(refill::dropped(transaction, last)?);
                        }
                    }
                }
                transaction.open_table(RECORDS)?.retain_in(..=last, |_, _| false)?;
                journal.bytes = journal.bytes.saturating_sub(bytes);
                tables::put_journal(transaction, &journal)?;
                for name in open {
                    let Some(change) = changes.change(&self.shared, name) else { continue };
                    let refilled = match change.row.catch_up {
                        Some(catch_up) => {
                            let finished = finished.as_deref().unwrap_or_default();
                            refill::replace(transaction, change, finished, catch_up, now_ms)?
                        }
                        None => 0,
                    };
                    let gap = expire(&self.shared, change, last);
                    gaps.push((name.clone(), gap, refilled));
                }
                changes.write(transaction)?;
            }
            drop_builds(transaction, &plan.builds)?;
            let mut table = transaction.open_table(CHANGES)?;
            for id in &plan.changes {
                table.remove(id)?;
            }
            users::remove(transaction, &plan.users)?;
            Ok(())
        })?;
        self.journal = journal;
        self.shared.bytes.store(self.journal.bytes, Ordering::Relaxed);
        changes.install(&self.shared);
        for (name, gap, refilled) in gaps {
            let told = self
                .gaps
                .entry(name)
                .or_insert_with(|| (Gap { from: gap.from, ..Gap::default() }, 0));
            told.0 = Gap { from: told.0.from, records: told.0.records + gap.records, ..gap };
            told.1 += refilled;
        }
        Ok(())
    }

    /// Says what consumers lost since this was last said.
    fn tell_gaps(&mut self) {
        for (consumer, (gap, refilled)) in std::mem::take(&mut self.gaps) {
            tracing::warn!(
                consumer,
                from = %gap.from,
                to = %gap.to,
                expired = gap.records,
                refilled,
                "events outlived their time before the consumer was done with them"
            );
        }
    }
}

/// Marks all up to `last` as done, and notes what was not.
fn expire(shared: &Shared, change: &mut Change, last: u64) -> Gap {
    let row = &mut change.row;
    let (floor, from) = (row.ledger.floor(), row.ledger.next_open(0));
    let records = row.ledger.raise(last);
    row.expired += records;
    let (from, to) = (shared.position(from), shared.position(last));
    let gap = Gap { from, to, records, at_ms: now_ms() };
    let mut whole = gap.clone();
    if let Some(before) = &row.gap
        && before.to == shared.position(floor)
    {
        // The step before dropped what comes right before this.
        whole.from = before.from;
        whole.records += before.records;
    }
    row.gap = Some(whole);
    gap
}

fn drop_builds(transaction: &WriteTransaction, ids: &[u64]) -> Result<(), StoreError> {
    let mut builds = transaction.open_table(BUILDS)?;
    let mut numbers = transaction.open_table(NUMBERS)?;
    let mut logs = transaction.open_table(LOGS)?;
    let mut finished = transaction.open_table(FINISHED)?;
    for id in ids {
        finished.remove(id)?;
        let Some(row) = builds.remove(id)? else { continue };
        // What points to a build that can't be read leads nowhere, which readers expect.
        let Ok(build) = decode::<Build>("a build", row.value()) else { continue };
        numbers.remove((build.builder.id.0, build.number))?;
        for log in build.steps.iter().flat_map(|step| &step.logs) {
            logs.remove(log.id.0)?;
        }
    }
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
