//! What must be right with time: events read after a gap, and passing signs of life.

use model::{Event, Live, Timestamp, World};
use std::collections::BTreeMap;

/// Orders events by the master's time, which come in an order in which causes precede effects.
///
/// The times alone would not do: the master's clock may have been set back between a cause and its
/// effect. So no event counts as earlier than what led to it. Times are whole seconds: within one,
/// events keep the order in which they came.
pub(crate) fn by_time(events: &mut Vec<Event>) {
    let mut links = Links::default();
    let first_use = submissions(events);
    let mut timed: Vec<(Option<Timestamp>, Event)> = std::mem::take(events)
        .into_iter()
        .map(|event| (links.time(&event, &first_use), event))
        .collect();
    // What has no time comes first.
    timed.sort_by_key(|(time, _)| *time);
    events.extend(timed.into_iter().map(|(_, event)| event));
}

/// What one event is and another may be the effect of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    Buildset(u64),
    /// Whatever there is of a buildset before its end.
    InBuildset(u64),
    Request(u64),
    InRequest(u64),
    Build(u64),
    InBuild(u64),
    Step(u64),
    /// The beginnings of a builder's builds; by them its clock is seen to be set back.
    Begun(u64),
    Ended(u64),
}

/// The latest time of what each thing is the effect of.
#[derive(Default)]
struct Links(BTreeMap<Link, Timestamp>);

impl Links {
    /// The time that an event counts as of, later ones being told of it.
    fn time(&mut self, event: &Event, first_use: &BTreeMap<u64, Timestamp>) -> Option<Timestamp> {
        use Link::{Begun, Build, Buildset, Ended, InBuild, InBuildset, InRequest, Request, Step};
        let own = event.happened_at();
        match event {
            // Its time is its author's, whose clock may be ahead of what came of it.
            Event::ChangeAdded { change } => {
                own.into_iter().chain(first_use.get(&change.source_stamp.0).copied()).min()
            }
            Event::BuildsetSubmitted { buildset } => {
                let id = buildset.id.0;
                self.after(own, &[], &[Buildset(id), InBuildset(id)])
            }
            Event::BuildsetCompleted { buildset } => {
                self.after(own, &[InBuildset(buildset.id.0)], &[])
            }
            Event::RequestSubmitted { request } => {
                let (id, set) = (request.id.0, request.buildset.0);
                self.after(own, &[Buildset(set)], &[Request(id), InRequest(id), InBuildset(set)])
            }
            Event::RequestCompleted { request } | Event::RequestCancelled { request } => {
                let (id, set) = (request.id.0, request.buildset.0);
                self.after(own, &[InRequest(id)], &[InBuildset(set)])
            }
            Event::BuildStarted { build } => {
                let (id, request, builder) = (build.id.0, build.request.0, build.builder.id.0);
                let before = self.0.get(&Begun(builder)).copied();
                let set_back = before > own;
                let causes = [Request(request), Begun(builder), Ended(builder)];
                // Otherwise it may well have begun before the end of another.
                let causes = if set_back { &causes[..] } else { &causes[..2] };
                let effects = [Build(id), InBuild(id), InRequest(request), Begun(builder)];
                self.after(own, causes, &effects)
            }
            Event::BuildFinished { build } => {
                let (id, request, builder) = (build.id.0, build.request.0, build.builder.id.0);
                self.after(own, &[InBuild(id)], &[InRequest(request), Ended(builder)])
            }
            Event::StepStarted { build, step, .. } => {
                self.after(own, &[Build(build.0)], &[Step(step.id.0), InBuild(build.0)])
            }
            Event::StepFinished { build, step, .. } => {
                self.after(own, &[Build(build.0), Step(step.id.0)], &[InBuild(build.0)])
            }
            _ => own,
        }
    }

    /// The latest of an event's own time and those of its causes, which its effects are told.
    fn after(
        &mut self,
        own: Option<Timestamp>,
        causes: &[Link],
        effects: &[Link],
    ) -> Option<Timestamp> {
        let causes = causes.iter().filter_map(|cause| self.0.get(cause).copied());
        let time = own.into_iter().chain(causes).max()?;
        for effect in effects {
            let known = self.0.entry(*effect).or_insert(time);
            *known = time.max(*known);
        }
        Some(time)
    }
}

/// When the first buildset of each source stamp was submitted.
fn submissions(events: &[Event]) -> BTreeMap<u64, Timestamp> {
    let mut first = BTreeMap::new();
    for event in events {
        let Event::BuildsetSubmitted { buildset } = event else { continue };
        for stamp in &buildset.source_stamps {
            let known = first.entry(stamp.id.0).or_insert(buildset.submitted_at);
            *known = buildset.submitted_at.min(*known);
        }
    }
    first
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
    use super::by_time;
    use model::{
        Build, BuildId, BuilderId, BuilderRef, Buildset, BuildsetId, Change, ChangeId, Event,
        Request, RequestId, SourceStamp, SourceStampId, Step, StepId, Timestamp,
    };

    /// A build with its buildset and request, of the same keys, at these times.
    fn build(id: u64, builder: u64, submitted: i64, began: i64, ended: i64) -> Vec<Event> {
        let at = Timestamp;
        let set = Buildset {
            id: BuildsetId(id),
            submitted_at: at(submitted),
            complete_at: Some(at(ended)),
            source_stamps: vec![SourceStamp { id: SourceStampId(id), ..SourceStamp::default() }],
            ..Buildset::default()
        };
        let request = Request {
            id: RequestId(id),
            buildset: BuildsetId(id),
            submitted_at: at(submitted),
            complete_at: Some(at(ended)),
            ..Request::default()
        };
        let build = Build {
            id: BuildId(id),
            number: id,
            request: RequestId(id),
            builder: BuilderRef { id: BuilderId(builder), ..BuilderRef::default() },
            started_at: at(began),
            complete_at: Some(at(ended)),
            ..Build::default()
        };
        let step = Step {
            id: StepId(id),
            started_at: Some(at(began)),
            complete_at: Some(at(ended)),
            ..Step::default()
        };
        let (name, number) = (build.builder.name.clone(), id);
        let of = BuildId(id);
        vec![
            Event::BuildsetSubmitted { buildset: Box::new(set.clone()) },
            Event::RequestSubmitted { request: request.clone() },
            Event::BuildStarted { build: Box::new(build.clone()) },
            Event::StepStarted {
                build: of,
                builder: name.clone(),
                number,
                step: Step { complete_at: None, ..step.clone() },
            },
            Event::StepFinished { build: of, builder: name, number, step },
            Event::BuildFinished { build: Box::new(build) },
            Event::RequestCompleted { request },
            Event::BuildsetCompleted { buildset: Box::new(set) },
        ]
    }

    /// The builds' beginnings and ends, in the order of the events.
    fn told(events: &[Event]) -> Vec<String> {
        let of = |event: &Event| match event {
            Event::BuildStarted { build } => Some(format!("{} begins", build.id)),
            Event::BuildFinished { build } => Some(format!("{} ends", build.id)),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    }

    #[test]
    fn what_was_found_is_told_in_the_order_in_which_it_happened() {
        let mut events = [build(1, 1, 10, 20, 90), build(2, 2, 30, 40, 50)].concat();
        by_time(&mut events);
        assert_eq!(told(&events), ["1 begins", "2 begins", "2 ends", "1 ends"]);
        // Two at a time on one builder.
        let mut events = [build(1, 1, 10, 20, 90), build(2, 1, 30, 40, 50)].concat();
        by_time(&mut events);
        assert_eq!(told(&events), ["1 begins", "2 begins", "2 ends", "1 ends"]);
    }

    #[test]
    fn a_clock_that_was_set_back_puts_no_effect_before_its_cause() {
        // An hour back, before each of the moments of a build.
        for set_back in 0..3 {
            let back = |nth: i64| if nth > set_back { -3600 } else { 0 };
            let first = build(1, 1, 10_000, 10_010 + back(1), 10_020 + back(2));
            let second = build(2, 1, 10_015 + back(2), 10_030 + back(3), 10_040 + back(3));
            let mut events = [first.clone(), second].concat();
            by_time(&mut events);
            let own: Vec<&Event> = events.iter().filter(|event| first.contains(event)).collect();
            assert!(own.into_iter().eq(&first), "set back before {}", set_back + 1);
            assert_eq!(
                told(&events),
                ["1 begins", "1 ends", "2 begins", "2 ends"],
                "set back before {}",
                set_back + 1
            );
        }
    }

    #[test]
    fn a_change_of_an_author_whose_clock_is_ahead_comes_before_what_was_built_of_it() {
        let change = Change {
            id: ChangeId(1),
            when: Timestamp(99_999),
            source_stamp: SourceStampId(1),
            ..Change::default()
        };
        let added = Event::ChangeAdded { change: Box::new(change) };
        let mut events = [vec![added.clone()], build(1, 1, 10, 20, 30)].concat();
        by_time(&mut events);
        assert_eq!(events.first(), Some(&added));
    }
}
