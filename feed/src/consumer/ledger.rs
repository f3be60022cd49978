//! What a consumer is done with: a floor, and runs of sequences above it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No record has a sequence from here on: what bears one is a build of the past, from before this
/// journal, and stands elsewhere than in it. Readers of JSON keep it exact, being below 2⁵³.
pub(crate) const BEYOND: u64 = 1 << 52;

/// Everything up to the floor is done, and what the runs above it hold. Runs touch neither
/// each other nor the floor, so their number is at most the number of records not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ledger {
    floor: u64,
    /// First to last of each run.
    above: BTreeMap<u64, u64>,
}

impl Ledger {
    /// Done up to and with `floor`.
    pub(crate) fn at(floor: u64) -> Self {
        Self { floor, above: BTreeMap::new() }
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether `seq` is done, or is no record of the journal.
    pub(crate) fn is_done(&self, seq: u64) -> bool {
        seq <= self.floor || seq >= BEYOND || self.run_of(seq).is_some()
    }

    /// The first sequence after `seq` that is not done.
    pub(crate) fn next_open(&self, seq: u64) -> u64 {
        let next = seq.max(self.floor) + 1;
        self.run_of(next).map_or(next, |(_, last)| last + 1)
    }

    /// Marks `seq` as done; false if it was.
    pub(crate) fn mark(&mut self, seq: u64) -> bool {
        if self.is_done(seq) {
            return false;
        }
        let mut run = (seq, seq);
        if let Some((&first, &last)) = self.above.range(..seq).next_back()
            && last + 1 == seq
        {
            run.0 = first;
        }
        if let Some(last) = self.above.remove(&(seq + 1)) {
            run.1 = last;
        }
        if run.0 == self.floor + 1 {
            self.floor = run.1;
        } else {
            self.above.insert(run.0, run.1);
        }
        true
    }

    /// Moves the floor up to `floor`; how many sequences became done by that.
    pub(crate) fn raise(&mut self, floor: u64) -> u64 {
        if floor <= self.floor {
            return 0;
        }
        let before = self.open_up_to(floor);
        self.floor = floor;
        while let Some(run) = self.above.first_entry() {
            if *run.key() > self.floor + 1 {
                break;
            }
            self.floor = self.floor.max(run.remove());
        }
        before
    }

    /// How many sequences up to `head` are not done.
    pub(crate) fn open_up_to(&self, head: u64) -> u64 {
        let above: u64 =
            self.above.range(..=head).map(|(first, last)| last.min(&head) - first + 1).sum();
        head.saturating_sub(self.floor) - above
    }

    fn run_of(&self, seq: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.above.range(..=seq).next_back()?;
        (seq <= last).then_some((first, last))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::Ledger;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn acknowledgements_out_of_order_raise_the_floor_once_the_gap_closes() {
        let mut ledger = Ledger::at(10);
        assert!(ledger.mark(12));
        assert!(ledger.mark(13));
        assert_eq!((ledger.floor(), ledger.next_open(10)), (10, 11));
        assert_eq!(ledger.next_open(11), 14);
        assert!(ledger.mark(11));
        assert_eq!((ledger.floor(), ledger.above.len()), (13, 0));
        assert!(!ledger.mark(12), "done before");
    }

    #[test]
    fn one_stuck_record_costs_one_run_however_many_follow() {
        let mut ledger = Ledger::at(0);
        for seq in 2..10_000 {
            ledger.mark(seq);
        }
        assert_eq!((ledger.floor(), ledger.above.len()), (0, 1));
        assert_eq!(ledger.open_up_to(9_999), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Mark(u64),
        Raise(u64),
        Crash,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (1..60u64).prop_map(Step::Mark),
            1 => (1..60u64).prop_map(Step::Raise),
            1 => Just(Step::Crash),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn any_order_of_marks_raises_and_reloads_agrees_with_a_plain_set(steps in steps()) {
            let mut ledger = Ledger::default();
            let mut done = BTreeSet::new();
            let mut floor = 0;
            for step in steps {
                match step {
                    Step::Mark(seq) => prop_assert_eq!(ledger.mark(seq), done.insert(seq)),
                    Step::Raise(to) => {
                        let lost = (1..=to).filter(|seq| !done.contains(seq)).count() as u64;
                        prop_assert_eq!(ledger.raise(to), lost);
                        done.extend(1..=to);
                    }
                    Step::Crash => {
                        let row = rmp_serde::to_vec_named(&ledger).unwrap();
                        ledger = rmp_serde::from_slice(&row).unwrap();
                    }
                }
                prop_assert!(ledger.floor() >= floor, "the floor is monotonic");
                floor = ledger.floor();
                let first_open = (1..).find(|seq| !done.contains(seq)).unwrap();
                prop_assert_eq!(floor, first_open - 1);
                for seq in 1..62 {
                    prop_assert_eq!(ledger.is_done(seq), done.contains(&seq));
                    let next = (seq + 1..).find(|seq| !done.contains(seq)).unwrap();
                    prop_assert_eq!(ledger.next_open(seq), next);
                    let open = (1..=seq).filter(|seq| !done.contains(seq)).count() as u64;
                    prop_assert_eq!(ledger.open_up_to(seq), open);
                }
                for (first, last) in &ledger.above {
                    prop_assert!(first <= last && *first > floor + 1);
                }
            }
        }
    }
}
