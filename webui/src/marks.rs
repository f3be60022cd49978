//! Classes and words of results; the stylesheet gives each class its colour and glyph.

use model::Outcome;

/// The class of a result; of something that runs where there is none yet.
pub fn class(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        None => "y",
        Some(Outcome::Success) => "s",
        Some(Outcome::Warnings) => "w",
        Some(Outcome::Failure) => "f",
        Some(Outcome::Skipped) => "k",
        Some(Outcome::Exception) => "e",
        Some(Outcome::Retry) => "r",
        Some(Outcome::Cancelled) => "c",
    }
}

/// The word beside the glyph.
pub fn word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        None => "running",
        Some(Outcome::Failure) => "failed",
        Some(outcome) => outcome.word(),
    }
}

/// Class number of a height that grows with the square root of the time, 1 to 6.
pub fn size(seconds: u64) -> u8 {
    const LIMITS: [u64; 5] = [45, 120, 300, 720, 1800];
    1 + LIMITS.iter().filter(|limit| seconds > **limit).count() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_a_class_and_a_word_of_its_own() {
        let mut all: Vec<_> =
            Outcome::ALL.map(Some).into_iter().chain([None]).map(|o| (class(o), word(o))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
        assert_eq!([0, 45, 46, 1800, 1801, u64::MAX].map(size), [1, 1, 2, 5, 6, 6]);
    }
}
