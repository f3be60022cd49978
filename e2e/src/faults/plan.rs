//! What happens in a run, drawn from the seed. Pure.

use super::{broken::Broken, receivers::Manner};
use crate::recorded_master::Keys;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use std::{collections::BTreeSet, fmt};

/// Which processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Topology {
    /// One process with everything.
    Standalone,
    /// A feed, and a process for each target.
    Split,
}

impl Topology {
    /// As it is said on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Split => "split",
        }
    }
}

/// A process that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// What reads the master and keeps the journal (`standalone`: everything).
    Feed,
    /// The target that mails.
    Mail,
    /// The target that pushes.
    Push,
    /// The master.
    Master,
}

/// A way between two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Between feed and master.
    Master,
    /// Between targets and feed.
    Feed,
}

/// A receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Of mail.
    Smtp,
    /// Of pushes.
    Http,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9, and a new start after so many milliseconds.
    Kill(Victim, u64),
    /// Connections are cut so often, with so many milliseconds in between.
    Cut(Way, u32, u64),
    /// Packets are dropped for so many milliseconds, in which the far end gives its connections up.
    HalfOpen(Way, u64),
    /// The master's websocket falls silent without being closed.
    Silence,
    /// For so many milliseconds frames are repeated and overtake each other; some are lost if true.
    Frames(u64, bool),
    /// Somebody reads the pages' or the feed's stream and then stops reading.
    SlowReader,
    /// The journal's disk is full for so many milliseconds.
    FullDisk(u64),
    /// The process is killed, and the last page of the journal's file is not what was written.
    TornPage(Tear),
    /// The process is killed, and the journal's folder is gone.
    DeletedVolume,
    /// A receiver behaves so for so many milliseconds.
    Receiver(Who, Manner, u64),
    /// The wall clock jumps by so many seconds, and back after so many milliseconds.
    Clock(i64, u64),
    /// The master is killed and starts with another database.
    Replaced(Keys),
}

/// How a page is torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// The file ends a page earlier.
    Short,
    /// The last page is zeros.
    Zeros,
    /// The last page is noise.
    Noise,
}

impl Fault {
    /// The row of the report that it belongs to.
    pub fn row(self) -> &'static str {
        match self {
            Self::Kill(Victim::Master, _) => "kill -9 of the master",
            Self::Kill(Victim::Feed, _) => "kill -9 of the feed (standalone: of everything)",
            Self::Kill(Victim::Mail | Victim::Push, _) => "kill -9 of a target",
            Self::Cut(Way::Master, ..) => "cut connections, feed to master",
            Self::Cut(Way::Feed, ..) => "cut connections, target to feed",
            Self::HalfOpen(Way::Master, _) => "half-open connections, feed to master",
            Self::HalfOpen(Way::Feed, _) => "half-open connections, target to feed",
            Self::Silence => "websocket falls silent",
            Self::Frames(_, false) => "frames repeated and reordered",
            Self::Frames(_, true) => "frames repeated, reordered and lost",
            Self::SlowReader => "slow reader",
            Self::FullDisk(_) => "full disk",
            Self::TornPage(_) => "torn last page of the journal",
            Self::DeletedVolume => "deleted volume",
            Self::Receiver(_, Manner::Good, _) => "receiver is well",
            Self::Receiver(_, Manner::Fails, _) => "receiver answers 500 (SMTP 451)",
            Self::Receiver(_, Manner::Throttles, _) => {
                "receiver answers 429 with Retry-After (SMTP 450)"
            }
            Self::Receiver(_, Manner::Denies, _) => "receiver answers 401 (SMTP 530)",
            Self::Receiver(_, Manner::Hangs, _) => "receiver hangs",
            Self::Receiver(_, Manner::Breaks, _) => "receiver closes in mid-answer",
            Self::Receiver(_, Manner::Drops, _) => "receiver closes at once",
            Self::Clock(..) => "clock jumps",
            Self::Replaced(Keys::Lower) => "database replaced, lower ids",
            Self::Replaced(Keys::Equal) => "database replaced, equal ids",
            Self::Replaced(Keys::Higher) => "database replaced, higher ids",
        }
    }

    /// What can be had once in a run only: another one like it would undo or hide it.
    fn kind(self) -> u8 {
        match self {
            Self::Kill(..) => 0,
            Self::Cut(..) => 1,
            Self::HalfOpen(..) | Self::Silence => 2,
            Self::Frames(..) => 3,
            Self::SlowReader => 4,
            Self::FullDisk(_) => 5,
            Self::TornPage(_) | Self::DeletedVolume => 6,
            Self::Receiver(Who::Smtp, ..) => 7,
            Self::Receiver(Who::Http, ..) => 8,
            Self::Clock(..) => 9,
            Self::Replaced(_) => 10,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Of the run itself: everything in it is drawn from this.
    pub seed: u64,
    /// Which processes run.
    pub topology: Topology,
    /// Faults, by milliseconds since the recording began to play.
    pub faults: Vec<(u64, Fault)>,
    /// Instead of the program's push a target runs that breaks the promise.
    pub broken: Option<Broken>,
}

/// How long the recording plays, in milliseconds.
pub const LENGTH: u64 = 4500;
/// Faults that a run may have.
const KINDS: usize = 22;

/// The seed of run `index` of a campaign.
pub fn seed_of(campaign: u64, index: u64) -> u64 {
    // Splitmix64: neighbouring campaigns share no runs.
    let mut z = campaign
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Plan {
    /// Whether a page of the journal is torn.
    pub fn tears(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::TornPage(_)))
    }

    /// Whether the disk is full for a while.
    pub fn fills(&self) -> bool {
        self.faults.iter().any(|(_, fault)| matches!(fault, Fault::FullDisk(_)))
    }

    /// The same run without faults, in which a target breaks the promise.
    #[must_use]
    pub fn with(self, broken: Broken) -> Self {
        Self { faults: Vec::new(), broken: Some(broken), topology: Topology::Split, ..self }
    }

    /// Run `index` of the campaign `campaign`. Each run has one fault by turns, so that every kind
    /// comes up, and up to three more by chance.
    pub fn draw(campaign: u64, index: u64, topology: Topology) -> Self {
        let seed = seed_of(campaign, index);
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(1..=4);
        let turn = usize::try_from(index % KINDS as u64).unwrap();
        let mut faults: Vec<(u64, Fault)> = Vec::new();
        let mut kinds = BTreeSet::new();
        while faults.len() < count {
            let number = if faults.is_empty() { turn } else { random.random_range(0..KINDS) };
            let fault = fault(number, topology, &mut random);
            // Kills and cuts may come again and again.
            if fault.kind() < 2 || kinds.insert(fault.kind()) {
                faults.push((random.random_range(200..LENGTH - 300), fault));
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        Self { seed, topology, faults, broken: None }
    }
}

fn fault(number: usize, topology: Topology, random: &mut StdRng) -> Fault {
    let split = topology == Topology::Split;
    let sender =
        if split { *[Victim::Mail, Victim::Push].choose(random).unwrap() } else { Victim::Feed };
    let way = if split { *[Way::Master, Way::Feed].choose(random).unwrap() } else { Way::Master };
    let who = *[Who::Smtp, Who::Http].choose(random).unwrap();
    let while_ms = random.random_range(300..2000);
    match number {
        0 => Fault::Kill(Victim::Feed, random.random_range(0..1000)),
        1 | 2 => Fault::Kill(sender, random.random_range(0..500)),
        3 | 4 => Fault::Kill(Victim::Master, random.random_range(0..1500)),
        5 => Fault::Cut(Way::Master, random.random_range(1..4), random.random_range(50..800)),
        6 => Fault::Cut(way, random.random_range(1..6), random.random_range(50..500)),
        7 => Fault::HalfOpen(way, random.random_range(200..1500)),
        8 => Fault::Silence,
        9 => Fault::Frames(random.random_range(500..4000), false),
        10 => Fault::Frames(random.random_range(300..2000), true),
        11 => Fault::SlowReader,
        12 => Fault::FullDisk(random.random_range(300..2500)),
        13 => Fault::TornPage(*[Tear::Short, Tear::Zeros, Tear::Noise].choose(random).unwrap()),
        14 => Fault::DeletedVolume,
        15 => Fault::Receiver(who, Manner::Fails, while_ms),
        16 => Fault::Receiver(who, Manner::Throttles, while_ms / 2),
        17 => Fault::Receiver(who, Manner::Denies, while_ms / 2),
        18 => {
            let manner = *[Manner::Hangs, Manner::Drops].choose(random).unwrap();
            Fault::Receiver(who, manner, while_ms)
        }
        19 => Fault::Receiver(who, Manner::Breaks, while_ms),
        20 => {
            let by =
                *[-86_400, -3600, -90, -5, 5, 90, 3600, 86_400, 259_200].choose(random).unwrap();
            Fault::Clock(by, random.random_range(500..4000))
        }
        _ => Fault::Replaced(*[Keys::Lower, Keys::Equal, Keys::Higher].choose(random).unwrap()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, KINDS, Plan, Topology, seed_of};
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_draws_the_same_run_and_another_seed_another() {
        for index in 0..50 {
            let plan = Plan::draw(7, index, Topology::Split);
            assert_eq!(plan, Plan::draw(7, index, Topology::Split));
            assert!((1..=4).contains(&plan.faults.len()));
        }
        assert_ne!(seed_of(1, 2), seed_of(2, 1));
    }

    #[test]
    fn every_kind_of_fault_comes_up() {
        let rows = |plan: Plan| plan.faults.into_iter().map(|(_, fault)| Fault::row(fault));
        let turns = KINDS as u64 * 12;
        for topology in [Topology::Standalone, Topology::Split] {
            let all: BTreeSet<_> =
                (0..turns).flat_map(|index| rows(Plan::draw(1, index, topology))).collect();
            let most = if topology == Topology::Split { 24 } else { 21 };
            assert_eq!(all.len(), most, "{topology:?}: {all:#?}");
        }
    }
}
