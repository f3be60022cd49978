//! The reckoning of a budget: what was spent, who waits, and when the next one may go. Pure: the
//! time is given, as the time since the budget was made.

use super::{Cost, Limit, Quota};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

/// Into how many parts a period is divided: what was spent within one part is remembered together,
/// as of its end. So a limit of a million costs no more memory than one of ten.
const PARTS: u32 = 256;
/// Keys of a keyed cap that are remembered; the one used longest ago is forgotten first.
const KEYS: usize = 4096;

/// What came of asking for one's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is spent; go.
    Granted,
    /// Somebody who came earlier waits for one of the same limits. Ask again when one has gone.
    Behind,
    /// Not before this time.
    At(Duration),
    /// A keyed cap is used up, or the cost is larger than a limit: waiting does not help.
    Never(&'static str),
}

/// The limits of one credential, what was spent, and who waits.
#[derive(Debug, Default)]
pub struct Ledger {
    limits: Vec<(Limit, Spent)>,
    /// Nothing goes before.
    blocked: Duration,
    waiting: VecDeque<(u64, Cost)>,
    next: u64,
}

#[derive(Debug)]
enum Spent {
    Window(VecDeque<Part>),
    Keys(HashMap<String, (u32, Duration)>),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    first: Duration,
    last: Duration,
    count: u32,
}

impl Ledger {
    /// Adds the limits that it does not have; two of one name both hold.
    pub fn add(&mut self, limits: &[Limit]) {
        for limit in limits {
            if self.limits.iter().any(|(known, _)| known == limit) {
                continue;
            }
            let spent = match limit.quota {
                Quota::Rate { .. } => Spent::Window(VecDeque::new()),
                Quota::Each { .. } => Spent::Keys(HashMap::new()),
            };
            self.limits.push((limit.clone(), spent));
        }
    }

    /// Takes a place in the queue.
    pub fn enter(&mut self, cost: Cost) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.waiting.push_back((ticket, cost));
        ticket
    }

    /// Gives the place up.
    pub fn leave(&mut self, ticket: u64) {
        self.waiting.retain(|(other, _)| *other != ticket);
    }

    /// Asks whether a ticket's turn has come, and spends its cost if it has.
    pub fn claim(&mut self, ticket: u64, now: Duration) -> Claim {
        let Some(place) = self.waiting.iter().position(|(other, _)| *other == ticket) else {
            return Claim::Granted;
        };
        let cost = self.waiting[place].1.clone();
        if self.waiting.iter().take(place).any(|(_, earlier)| earlier.meets(&cost)) {
            return Claim::Behind;
        }
        let mut at = self.blocked;
        for (limit, spent) in &mut self.limits {
            let count = cost.of(limit.name);
            if count == 0 {
                continue;
            }
            match (limit.quota, spent) {
                (Quota::Rate { count: most, period }, Spent::Window(parts)) => {
                    if count > most {
                        return Claim::Never(limit.name);
                    }
                    forget(parts, period, now);
                    at = at.max(free(parts, most - count, period));
                }
                (Quota::Each { count: most }, Spent::Keys(keys)) => {
                    let used = keys.get(&cost.key).map_or(0, |(used, _)| *used);
                    if used.saturating_add(count) > most {
                        return Claim::Never(limit.name);
                    }
                }
                // A limit is made with what belongs to it.
                _ => {}
            }
        }
        if at > now {
            return Claim::At(at);
        }
        self.spend(&cost, now);
        self.waiting.remove(place);
        Claim::Granted
    }

    fn spend(&mut self, cost: &Cost, now: Duration) {
        for (limit, spent) in &mut self.limits {
            let count = cost.of(limit.name);
            if count == 0 {
                continue;
            }
            match (limit.quota, spent) {
                (Quota::Rate { period, .. }, Spent::Window(parts)) => match parts.back_mut() {
                    Some(part) if now < part.first + period / PARTS => {
                        part.last = now;
                        part.count = part.count.saturating_add(count);
                    }
                    _ => parts.push_back(Part { first: now, last: now, count }),
                },
                (Quota::Each { .. }, Spent::Keys(keys)) => {
                    if keys.len() >= KEYS && !keys.contains_key(&cost.key) {
                        let oldest = keys.iter().min_by_key(|(_, (_, at))| *at);
                        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                            keys.remove(&oldest);
                        }
                    }
                    let (used, at) = keys.entry(cost.key.clone()).or_default();
                    (*used, *at) = (used.saturating_add(count), now);
                }
                _ => {}
            }
        }
    }

    /// The peer wants nothing before this time.
    pub fn block(&mut self, until: Duration) {
        self.blocked = self.blocked.max(until);
    }

    /// What is left of each rate at this time, by its name; of two of one name, the lower.
    pub fn left(&mut self, now: Duration) -> BTreeMap<&'static str, u32> {
        let mut all = BTreeMap::new();
        for (limit, spent) in &mut self.limits {
            if let (Quota::Rate { count, period }, Spent::Window(parts)) = (limit.quota, spent) {
                forget(parts, period, now);
                let left = count.saturating_sub(used(parts));
                all.entry(limit.name).and_modify(|l: &mut u32| *l = left.min(*l)).or_insert(left);
            }
        }
        all
    }
}

/// Drops what lies a whole period back.
fn forget(parts: &mut VecDeque<Part>, period: Duration, now: Duration) {
    while parts.front().is_some_and(|part| part.last + period <= now) {
        parts.pop_front();
    }
}

fn used(parts: &VecDeque<Part>) -> u32 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.count))
}

/// When no more than `most` are left of what was spent; zero if that is so already.
fn free(parts: &VecDeque<Part>, most: u32, period: Duration) -> Duration {
    let mut used = used(parts);
    let mut at = Duration::ZERO;
    for part in parts {
        if used <= most {
            break;
        }
        used = used.saturating_sub(part.count);
        at = part.last + period;
    }
    at
}
