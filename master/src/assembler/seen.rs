//! Which keys were seen: the highest, a bit for each of the 64 up to it, and by themselves those of what
//! still waits to be journaled.
//!
//! Together with the open ones these are all that a restart needs to know: a key up to the highest is
//! journaled, or waits by name, or is among the few below it that the next survey reads.

use super::{
    Assembler,
    builds::Draft,
    requests::{Ask, Set},
};
use model::{Build, Waiting};

/// Whether `id` was seen. What is more than 64 below the highest counts as seen.
pub(super) fn is_seen(highest: u64, bits: u64, id: u64) -> bool {
    match highest.checked_sub(id) {
        None => false,
        Some(below) => below >= 64 || bits >> below & 1 == 1,
    }
}

/// Takes `id` for seen.
pub(super) fn mark(highest: &mut u64, bits: &mut u64, id: u64) {
    if let Some(up) = id.checked_sub(*highest).filter(|up| *up > 0) {
        *bits = if up < 64 { *bits << up } else { 0 };
        *bits |= 1;
        *highest = id;
    } else {
        let below = *highest - id;
        if below < 64 {
            *bits |= 1 << below;
        }
    }
}

impl Assembler {
    /// Goes on waiting for what the world says had been waited for.
    pub(super) fn go_on(&mut self) {
        let Waiting { builds, buildsets, requests } = &self.world.waiting;
        for id in builds {
            self.drafts.insert(*id, Draft::default());
            self.pending.insert(*id, Build { id: *id, ..Build::default() });
        }
        self.sets.extend(buildsets.iter().map(|id| (*id, Set::unread())));
        self.asks.extend(requests.iter().map(|id| (*id, Ask::new(true))));
    }

    /// Keeps in the world what waits. Called whenever the highest keys may have risen, or something of
    /// a lower key was seen.
    pub(super) fn note_waiting(&mut self) {
        let world = &self.world;
        let h = world.highest;
        let requests = self.asks.range(..=h.request).filter(|(_, ask)| ask.announce);
        let buildsets = self.sets.range(..=h.buildset).filter(|(_, set)| set.announce);
        self.world.waiting = Waiting {
            builds: self.pending.range(..=h.build).map(|(id, _)| *id).collect(),
            buildsets: buildsets
                .map(|(id, _)| *id)
                .filter(|id| !world.buildsets.contains_key(id))
                .collect(),
            requests: requests
                .map(|(id, _)| *id)
                .filter(|id| !world.requests.contains_key(id))
                .collect(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{is_seen, mark};

    #[test]
    fn a_key_skipped_is_unseen_until_it_comes() {
        let (mut highest, mut bits) = (0, 0);
        for id in [1, 2, 5, 70] {
            mark(&mut highest, &mut bits, id);
        }
        assert!(!is_seen(highest, bits, 7) && !is_seen(highest, bits, 71));
        assert!(is_seen(highest, bits, 70) && is_seen(highest, bits, 6));
        mark(&mut highest, &mut bits, 7);
        assert!(is_seen(highest, bits, 7) && highest == 70);
    }
}
