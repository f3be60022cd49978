//! Steps and logs of builds that run.

use super::{Assembler, MAX_ORPHANS};
use model::{BuildId, Event, Live, Log, Step, StepId};

/// How far a step is; what is less far is older.
fn stage(step: &Step) -> u8 {
    u8::from(step.started_at.is_some()) + 2 * u8::from(step.complete_at.is_some())
}

/// Merges what was told of a step into what is known of it; false if that changes nothing.
fn merge_step(known: &mut Step, mut told: Step) -> bool {
    let mut changed = false;
    for log in std::mem::take(&mut told.logs) {
        changed |= merge_log(&mut known.logs, log);
    }
    if stage(&told) < stage(known) {
        return changed;
    }
    told.logs = std::mem::take(&mut known.logs);
    told.started_at = told.started_at.or(known.started_at);
    told.hidden |= known.hidden;
    if told.urls.len() < known.urls.len() {
        told.urls = std::mem::take(&mut known.urls);
    }
    changed |= *known != told;
    *known = told;
    changed
}

/// Merges what was told of a log; false if that changes nothing.
fn merge_log(logs: &mut Vec<Log>, told: Log) -> bool {
    match logs.iter_mut().find(|log| log.id == told.id) {
        None => {
            let at = logs.partition_point(|log| log.id < told.id);
            logs.insert(at, told);
            true
        }
        Some(log) if told.lines > log.lines || told.complete && !log.complete => {
            log.lines = told.lines.max(log.lines);
            log.complete |= told.complete;
            true
        }
        Some(_) => false,
    }
}

/// The step as it was when it began.
fn begun(step: &Step) -> Step {
    Step { complete_at: None, outcome: None, logs: Vec::new(), urls: Vec::new(), ..step.clone() }
}

/// Where a step is in the order of numbers; it is put there, not begun, if it is new.
fn place<'a>(steps: &'a mut Vec<Step>, step: &Step) -> &'a mut Step {
    let at = steps.iter().position(|s| s.id == step.id).unwrap_or_else(|| {
        let at = steps.partition_point(|s| s.number < step.number);
        steps.insert(at, Step { started_at: None, ..begun(step) });
        at
    });
    &mut steps[at]
}

impl Assembler {
    /// A step of a build; its logs, if they are in it, are merged too.
    pub(super) fn step(&mut self, id: BuildId, mut step: Step) {
        if !self.accept(id, true) {
            return;
        }
        self.steps.insert(step.id, id);
        step.logs.extend(self.orphans.remove(&step.id).unwrap_or_default());
        if self.is_journaled(id) {
            self.journal_step(id, step);
        } else if let Some(build) = self.pending.get_mut(&id) {
            merge_step(place(&mut build.steps, &step), step);
        }
    }

    /// Merges a step into a build whose start is journaled, and journals its transitions.
    pub(super) fn journal_step(&mut self, id: BuildId, step: Step) {
        let Some(build) = self.world.open.get_mut(&id) else { return };
        let known = place(&mut build.steps, &step);
        let (had_started, had_finished) = (known.started_at.is_some(), known.complete_at.is_some());
        let new = !had_started && !had_finished && step.started_at.is_none();
        if !merge_step(known, step) && !new {
            return;
        }
        let step = known.clone();
        let (builder, number) = (build.builder.name.clone(), build.number);
        self.effects.dirty.open.insert(id);
        let started = step.started_at.is_some() && !had_started && !had_finished;
        let finished = step.complete_at.is_some() && !had_finished;
        if started {
            let step = begun(&step);
            self.emit(Event::StepStarted { build: id, builder: builder.clone(), number, step });
        }
        if finished {
            self.emit(Event::StepFinished { build: id, builder, number, step });
        } else if !started {
            self.effects.live.push(Live::StepChanged { build: id, step });
        }
    }

    /// A log of a step; `appended` if only lines came to it.
    pub(super) fn log(&mut self, step_id: StepId, log: Log, appended: bool) {
        let Some(id) = self.steps.get(&step_id).copied() else {
            if self.orphans.len() < MAX_ORPHANS {
                merge_log(self.orphans.entry(step_id).or_default(), log);
            }
            return;
        };
        let journaled = self.is_journaled(id);
        let Some((_, build)) = self.draft(id) else { return };
        let Some(step) = build.steps.iter_mut().find(|s| s.id == step_id) else { return };
        if merge_log(&mut step.logs, log.clone()) && journaled {
            let step = step.clone();
            self.effects.live.push(if appended {
                // Passes by: a log that is followed would have its build written for each line.
                Live::LogAppended { build: id, log }
            } else {
                self.effects.dirty.open.insert(id);
                Live::StepChanged { build: id, step }
            });
        }
    }
}
