//! What must be right with time: events read after a gap, and passing signs of life.

use model::{Event, Live, Timestamp, World};

/// When an event happened by the master's clock; what has no time comes first.
fn time(event: &Event) -> Option<Timestamp> {
    match event {
        Event::BuildStarted { build } => Some(build.started_at),
        Event::BuildFinished { build } => build.complete_at,
        Event::StepStarted { step, .. } => step.started_at,
        Event::StepFinished { step, .. } => step.complete_at,
        Event::RequestSubmitted { request } => Some(request.submitted_at),
        Event::RequestCancelled { request } | Event::RequestCompleted { request } => {
            request.complete_at
        }
        Event::BuildsetSubmitted { buildset } => Some(buildset.submitted_at),
        Event::BuildsetCompleted { buildset } => buildset.complete_at,
        Event::ChangeAdded { change } => Some(change.when),
        _ => None,
    }
}

/// Orders events by the master's time. It has whole seconds: within one, events keep the
/// order in which they were assembled, which is by key, and causes before effects.
pub(crate) fn by_time(events: &mut [Event]) {
    events.sort_by_key(time);
}

/// A sign of life as of now; `None` of what has ended since. One from before a step's end
/// must not undo it in the eyes of a reader.
pub(crate) fn present(world: &World, live: Live) -> Option<Live> {
    match live {
        Live::StepChanged { build, step } => {
            let steps = &world.open.get(&build)?.steps;
            let step = steps.iter().find(|s| s.id == step.id)?.clone();
            Some(Live::StepChanged { build, step })
        }
        Live::BuildText { build, .. } | Live::LogAppended { build, .. }
            if !world.open.contains_key(&build) =>
        {
            None
        }
        other => Some(other),
    }
}
