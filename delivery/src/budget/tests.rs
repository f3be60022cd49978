#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use super::{
    Budget, Budgets, Cost, Credential, Limit, Quota,
    ledger::{Claim, Ledger},
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// GitHub's three, as they stand in its documentation.
fn github() -> [Limit; 3] {
    [
        Limit::rate("requests", 5000, 3600 * SECOND),
        Limit::rate("content", 80, 60 * SECOND),
        Limit::each("statuses", 1000),
    ]
}

fn status(key: &str) -> Cost {
    Cost::of_one("requests").and("content").and("statuses").key(key)
}

#[tokio::test(start_paused = true)]
async fn githubs_limits_hold_together() {
    let budget = Budget::new(&github());
    let began = Instant::now();
    for n in 0..1000 {
        budget.spend(&status("d76e234 unit")).await.unwrap();
        assert_eq!(began.elapsed().as_secs() / 60, n / 80, "80 a minute: {n}");
    }
    let full = budget.spend(&status("d76e234 unit")).await.unwrap_err();
    assert_eq!((full.limit, full.key.as_str()), ("statuses", "d76e234 unit"));
    budget.spend(&status("d76e234 docs")).await.unwrap();
    // Reading costs no content, so only the hour's limit is left.
    for _ in 1001..5000 {
        budget.spend(&Cost::of_one("requests")).await.unwrap();
    }
    assert!(began.elapsed() < 3600 * SECOND);
    budget.spend(&Cost::of_one("requests")).await.unwrap();
    assert!(began.elapsed() >= 3600 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_for_patience_is_left_alone_so_long() {
    let budget = Budget::new(&[Limit::rate("requests", 10, 60 * SECOND)]);
    let cost = Cost::of_one("requests");
    budget.hold(77 * SECOND);
    let waited = budget.spend(&cost).await.unwrap();
    assert!(waited >= 77 * SECOND && waited < 78 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_go_in_their_order_and_hold_up_only_who_wants_the_same() {
    let limits = [Limit::rate("content", 1, 60 * SECOND), Limit::rate("requests", 9, 60 * SECOND)];
    let budget = Arc::new(Budget::new(&limits));
    budget.spend(&Cost::of_one("content")).await.unwrap();
    let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
    for name in ["first", "dropped", "second"] {
        let (task_budget, sender) = (Arc::clone(&budget), sender.clone());
        let task = tokio::spawn(async move {
            task_budget.spend(&Cost::of_one("content")).await.unwrap();
            sender.send(name).unwrap();
        });
        tokio::task::yield_now().await;
        if name == "dropped" {
            task.abort();
        }
    }
    assert_eq!(budget.spend(&Cost::of_one("requests")).await.unwrap(), Duration::ZERO);
    let began = Instant::now();
    assert_eq!((order.recv().await, order.recv().await), (Some("first"), Some("second")));
    assert_eq!(began.elapsed().as_secs(), 120, "who left costs nothing");
}

#[tokio::test]
async fn targets_of_one_credential_share_a_budget_with_the_limits_of_all() {
    let budgets = Budgets::default();
    let of = |secret: &str| Credential::of([b"mx.example.org:25".as_slice(), secret.as_bytes()]);
    let one = budgets.of(of("a"), &[Limit::rate("messages", 5, SECOND)]);
    let same = budgets.of(of("a"), &[Limit::rate("messages", 2, SECOND)]);
    let other = budgets.of(of("b"), &[]);
    one.spend(&Cost::of_one("messages")).await.unwrap();
    assert_eq!(same.left()["messages"], 1);
    assert!(other.left().is_empty());
    assert_ne!(Credential::of([b"ab".as_slice(), b"c"]), Credential::of([b"a".as_slice(), b"bc"]));
    assert!(!format!("{:?} {one:?}", of("s3cret")).contains("s3cret"));
}

proptest! {
    /// Whatever is asked for when: no span of a period has more than its limit, a time that is
    /// given is one at which the first of the queue may go, and it is at most a 256th late.
    #[test]
    fn no_span_ever_has_more_than_its_limit_and_nobody_waits_for_long(
        most in 1_u32..6,
        period in 1_u64..5000,
        waits in prop::collection::vec(0_u64..2000, 1..120),
    ) {
        let period = Duration::from_millis(period);
        let limits = [
            Limit::rate("a", most, period),
            Limit { name: "b", quota: Quota::Rate { count: most * 2, period: period * 3 } },
        ];
        let mut ledger = Ledger::default();
        ledger.add(&limits);
        let mut now = Duration::ZERO;
        let mut granted: Vec<Duration> = Vec::new();
        for wait in waits {
            now += Duration::from_millis(wait);
            let ticket = ledger.enter(Cost::of_one("a").and("b"));
            if let Claim::At(at) = ledger.claim(ticket, now) {
                prop_assert!(at > now);
                // By plain counting: it could not have gone earlier than by a part of the period.
                let early = at.saturating_sub(period * 3 / 256).saturating_sub(Duration::from_nanos(1));
                if early > now {
                    let of = |span: Duration| granted.iter().filter(|t| **t + span > early).count();
                    prop_assert!(of(period) >= most as usize || of(period * 3) >= most as usize * 2);
                }
                now = at;
                prop_assert_eq!(ledger.claim(ticket, now), Claim::Granted);
            }
            granted.push(now);
            for (span, most) in [(period, most), (period * 3, most * 2)] {
                let used = granted.iter().filter(|t| **t + span > now).count();
                prop_assert!(used <= most as usize, "{used} of {most}");
            }
        }
    }
}
