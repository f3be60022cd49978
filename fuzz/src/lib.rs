//! Real input, changed by a seed, and the watch over what is done with it: what the fuzz tests of the
//! rooms (`src/fuzz.rs` in each) share.
//!
//! ```
//! use fuzz::{check, text};
//!
//! check(100, text(&["7s", "2 days"], &[]), |text| {
//!     let seconds = text.trim_end_matches('s').parse::<u8>();
//!     assert!(seconds.is_err() || text.len() < 200);
//! });
//! ```
//!
//! | variable | |
//! |---|---|
//! | `FUZZ_SEED` | another seed gives other cases; 1 if unset |
//! | `FUZZ_TIMES` | how many times as many cases |
//! | `FUZZ_CASE` | this case alone; its input is printed before it is tried |
#![allow(
    clippy::panic,
    clippy::print_stderr,
    reason = "test support: a case that fails is a failed test"
)]

mod mutate;
mod watchdog;

pub use mutate::{HOSTILE, bytes, json, text};

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use std::{env, fmt::Debug};
use watchdog::Watchdog;

/// Characters of an input that a message shows.
const SHOWN: usize = 20_000;

/// Tries `property` on `cases` values; it panics where it does not hold. The case that fails is made as
/// small as can be.
///
/// # Panics
/// When a case fails, with its input and how to run it again. The process ends when a case takes more than
/// a minute or more than 3 GiB.
pub fn check<S>(cases: u64, strategy: S, property: impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let seed = variable("FUZZ_SEED").unwrap_or(1);
    let cases = match variable("FUZZ_CASE") {
        Some(case) => case..case + 1,
        None => 0..cases * variable("FUZZ_TIMES").unwrap_or(1),
    };
    let name = name_of(&property);
    let watchdog = Watchdog::start(&name, seed);
    for case in cases {
        let config =
            Config { failure_persistence: None, max_shrink_time: 60_000, ..Config::default() };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_of(&name, seed, case));
        let mut runner = TestRunner::new_with_rng(config, rng);
        let tree = match strategy.new_tree(&mut runner) {
            Ok(tree) => tree,
            Err(reason) => panic!("{name} has no input: {reason}"),
        };
        if env::var_os("FUZZ_CASE").is_some() {
            eprintln!("input: {}", shown(&tree.current()));
        }
        let tried = runner.run_one(tree, |value| {
            watchdog.begin(case);
            property(value);
            Ok(())
        });
        watchdog.rest();
        if let Err(TestError::Fail(reason, value)) = tried {
            panic!(
                "case {case} of seed {seed} fails: {reason}\nsmallest input: {}\n{}",
                shown(&value),
                again(&name, seed, case)
            );
        }
    }
}

/// How a case is run again.
fn again(name: &str, seed: u64, case: u64) -> String {
    let test = name.split_once("::").map_or(name, |(_, test)| test);
    format!(
        "again: FUZZ_SEED={seed} FUZZ_CASE={case} cargo test --workspace --lib -- --exact {test}"
    )
}

/// `room::fuzz::test`, of the closure within it.
fn name_of<F>(property: &F) -> String {
    let name = std::any::type_name_of_val(property);
    name.trim_end_matches("::{{closure}}").to_owned()
}

fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} … ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}: {text:?} is no number"),
    }
}

/// Each case has a seed of its own, so that it can be run alone.
fn seed_of(name: &str, seed: u64, case: u64) -> [u8; 32] {
    let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut all = [0; 32];
    for (place, number) in all.chunks_exact_mut(8).zip([name, seed, case, 0]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{check, text};
    use std::{cell::RefCell, panic::catch_unwind};

    fn tried() -> Vec<String> {
        let all = RefCell::new(Vec::new());
        check(20, text(&["abc", "one two"], &[]), |text| all.borrow_mut().push(text));
        all.into_inner()
    }

    #[test]
    fn the_same_seed_gives_the_same_cases_and_they_differ() {
        assert_eq!(tried(), tried());
        let mut all = tried();
        all.sort();
        all.dedup();
        assert!(all.len() > 10, "{all:?}");
    }

    #[test]
    fn what_fails_is_made_small_and_said_with_how_to_run_it_again() {
        let failed = catch_unwind(|| {
            check(500, text(&["a long text of which one character matters"], &["!"]), |text| {
                assert!(!text.contains('!'), "it holds what it may not");
            });
        });
        let said = *failed.unwrap_err().downcast::<String>().unwrap_or_default();
        assert!(said.contains("of seed 1 fails: it holds what it may not"), "{said}");
        assert!(said.contains("again: FUZZ_SEED=1 FUZZ_CASE="), "{said}");
        let of = "--exact tests::what_fails_is_made_small_and_said_with_how_to_run_it_again";
        assert!(said.ends_with(of), "{said}");
        let input = said.lines().find(|line| line.starts_with("smallest input: ")).unwrap_or("");
        assert_eq!(input.matches('!').count(), 1, "{said}");
    }
}
