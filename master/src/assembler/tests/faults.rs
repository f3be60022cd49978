//! Frames that are lost, late, repeated and out of order, and processes that end.

use super::{CAPTURE, Journal};
use crate::assembler::Observation;
use proptest::prelude::*;

/// What happens to the frames on their way.
#[derive(Clone, Debug)]
enum Fault {
    /// This many frames come.
    Frames(usize),
    /// The connection is cut: this many are lost, then REST tells.
    Cut(usize),
    /// This process is killed as well.
    Killed(usize),
    /// A frame of the past comes again; not properties, which are increments.
    Again(prop::sample::Index),
    /// REST answers what was asked for.
    Answers,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        5 => (1..200_usize).prop_map(Fault::Frames),
        1 => (0..200_usize).prop_map(Fault::Cut),
        1 => (0..200_usize).prop_map(Fault::Killed),
        2 => any::<prop::sample::Index>().prop_map(Fault::Again),
        3 => Just(Fault::Answers),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_in_any_order_lost_and_repeated_are_healed_by_rest(
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..3000),
        answers in prop::collection::vec(any::<bool>(), 64),
    ) {
        // While a connection catches up, frames are no more than hints.
        let mut journal = Journal::default();
        for (n, index) in order.iter().enumerate() {
            journal.see(index.get(&CAPTURE.frames).1.clone());
            if answers[n % answers.len()] && n % 50 == 0 {
                journal.answer();
            }
        }
        journal.lists();
        journal.survey();
        // Without order among frames there is none to keep among events.
        journal.check();
    }

    #[test]
    fn cuts_kills_and_late_answers_lose_nothing_and_repeat_nothing(
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        let mut journal = Journal::default();
        journal.lists();
        journal.see(Observation::CaughtUp);
        let mut frames = CAPTURE.frames.iter().map(|(_, frame)| frame.clone());
        let mut past = Vec::new();
        for fault in faults {
            match fault {
                Fault::Frames(n) => for frame in frames.by_ref().take(n) {
                    past.push(frame.clone());
                    journal.see(frame);
                },
                Fault::Cut(n) | Fault::Killed(n) => {
                    if matches!(fault, Fault::Killed(_)) {
                        journal.restart();
                    }
                    frames.by_ref().take(n).for_each(drop);
                    journal.lists();
                    journal.survey();
                }
                Fault::Again(index) => if !past.is_empty() {
                    let again = index.get(&past).clone();
                    if !matches!(again, Observation::Properties(..)) {
                        journal.see(again);
                    }
                },
                Fault::Answers => journal.answer(),
            }
        }
        frames.for_each(|frame| journal.see(frame));
        journal.answer();
        journal.survey();
        journal.check_ordered();
    }
}
