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

#[cfg(test)]
mod tests {
    use super::{by_time, present};
    use model::{Build, BuildId, Event, Live, Request, RequestId, Step, StepId, Timestamp, World};

    fn request(id: u64, at: i64) -> Event {
        let submitted_at = Timestamp(at);
        let request = Request { id: RequestId(id), submitted_at, ..Request::default() };
        Event::RequestSubmitted { request }
    }

    #[test]
    fn events_after_a_gap_are_in_the_order_of_the_masters_time_and_then_of_their_keys() {
        let mut events = vec![request(1, 30), request(2, 10), request(3, 30), request(4, 20)];
        by_time(&mut events);
        let ids: Vec<u64> = events.iter().map(|e| e.key().1).collect();
        assert_eq!(ids, [2, 4, 1, 3]);
    }

    #[test]
    fn a_late_sign_of_life_never_undoes_what_was_journaled_since() {
        let old = Step { id: StepId(7), text: "running".into(), ..Step::default() };
        let new =
            Step { text: "done".into(), outcome: Some(model::Outcome::Success), ..old.clone() };
        let build = Build { id: BuildId(1), steps: vec![new.clone()], ..Build::default() };
        let mut world = World::default();
        world.open.insert(build.id, build);
        let sign = Live::StepChanged { build: BuildId(1), step: old };
        let told = Live::StepChanged { build: BuildId(1), step: new };
        assert_eq!(present(&world, sign.clone()), Some(told));
        world.open.clear();
        assert_eq!(present(&world, sign), None);
    }
}
