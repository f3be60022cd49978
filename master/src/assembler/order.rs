//! What must be right with time: events read after a gap, and passing signs of life.

use model::{Event, Live, World};

/// Orders events by the master's time. It has whole seconds: within one, events keep the
/// order in which they were assembled, which is by key, and causes before effects.
pub(crate) fn by_time(events: &mut [Event]) {
    // What has no time comes first.
    events.sort_by_key(Event::happened_at);
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
