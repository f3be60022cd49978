//! Which keys were seen: the highest, and a bit for each of the 64 up to it.

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
