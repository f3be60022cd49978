//! The rules of `docs/target-rules.md` that a test can check, each with its check.

use super::{Answer, Journal, Kit, SECRET, Seen, records};
use crate::{
    Health, MESSAGES,
    budget::{Budget, Limit},
};
use feed::PeerState;
use model::{Event, Timestamp};
use std::{sync::Arc, time::Duration};

/// Number and name of each rule, as the page has them.
pub const RULES: [(&str, &str); 14] = [
    ("R1", "Order"),
    ("R2", "Tried again"),
    ("R3", "Dead letters"),
    ("R4", "Killed around a send"),
    ("R5", "Killed before an acknowledgement"),
    ("R6", "Builders don't wait for each other"),
    ("R7", "Figures"),
    ("R8", "State"),
    ("R9", "Secrets"),
    ("R10", "Budget"),
    ("R11", "Old news"),
    ("R12", "Stopping"),
    ("R13", "Peer"),
    ("R14", "What came of a record"),
];

impl Kit {
    pub(super) async fn check_rule(&self, rule: &str) {
        match rule {
            "R1" => self.r1_keeps_order_and_delivers_once().await,
            "R2" => self.r2_tries_again_after_a_transient_failure().await,
            "R3" => self.r3_buries_what_is_refused_for_good().await,
            "R4" => self.r4_loses_nothing_over_a_kill_around_a_send().await,
            "R5" => self.r5_loses_nothing_over_a_kill_before_an_acknowledgement().await,
            "R6" => self.r6_a_builder_that_fails_holds_up_no_other().await,
            "R7" => self.r7_has_the_figures_of_every_target().await,
            "R8" => self.r8_says_how_it_fares().await,
            "R9" => self.r9_tells_no_secret().await,
            "R10" => self.r10_waits_for_its_budget().await,
            "R11" => self.r11_skips_old_news().await,
            "R12" => self.r12_stops_at_once_and_goes_on_later().await,
            "R13" => self.r13_says_whether_its_peer_can_be_reached().await,
            "R14" => self.r14_says_what_came_of_a_record().await,
            other => panic!("rule {other} has no check"),
        }
    }

    async fn r1_keeps_order_and_delivers_once(&self) {
        let journal = Journal::new(records(3, 5));
        self.peer.reset(|_, _| Answer::Take);
        self.run_until(&journal, "R1", || journal.is_done()).await;
        self.assert_order("R1");
        self.assert_all("R1", 15, 0);
    }

    async fn r2_tries_again_after_a_transient_failure(&self) {
        let journal = Journal::new(records(2, 3));
        self.peer.reset(|_, attempt| if attempt < 3 { Answer::Later } else { Answer::Take });
        self.run_until(&journal, "R2", || journal.is_done()).await;
        self.assert_order("R2");
        self.assert_all("R2", 6, 0);
        assert!(journal.dead().is_empty(), "R2: {:?}", journal.dead());
    }

    async fn r3_buries_what_is_refused_for_good(&self) {
        let journal = Journal::new(records(2, 3));
        let bad = |seen: &Seen| seen.builder == "b1" && seen.number == 2;
        self.peer.reset(move |seen, _| if bad(seen) { Answer::Never } else { Answer::Take });
        self.run_until(&journal, "R3", || journal.is_done()).await;
        self.assert_order("R3");
        let dead = journal.dead();
        let positions: Vec<u64> = dead.keys().map(|position| position.seq).collect();
        assert_eq!(positions, [3], "R3");
        for letter in dead.values() {
            assert_eq!(letter.class, "permanent", "R3: {letter:?}");
            assert!(!letter.text.is_empty() && letter.text.len() <= 2000, "R3: {letter:?}");
            assert!(letter.attempts >= 1 && letter.at_ms > 0, "R3: {letter:?}");
        }
        self.assert_all("R3", 5, 0);
    }

    async fn r4_loses_nothing_over_a_kill_around_a_send(&self) {
        for (answer, repeats) in [(Answer::Hang, 0), (Answer::TakeAndHang, self.repeats)] {
            for at in 1..=4_u64 {
                let what = format!("R4: killed while build {at} waits ({answer:?})");
                let journal = Journal::new(records(1, 4));
                self.peer.reset(
                    move |seen, _| {
                        if seen.number == at { answer } else { Answer::Take }
                    },
                );
                let reached = || self.peer.attempts_of("b1", at) > 0;
                self.run_and_kill(&journal, &what, reached).await;
                self.peer.script(|_, _| Answer::Take);
                self.run_until(&journal, &what, || journal.is_done()).await;
                self.assert_order(&what);
                self.assert_all(&what, 4, repeats);
            }
        }
        let what = "R4: killed while several builders have something to send";
        let journal = Journal::new(records(6, 2));
        self.peer.reset(|_, _| Answer::TakeAndHang);
        self.run_and_kill(&journal, what, || self.peer.attempted() > 0).await;
        self.peer.script(|_, _| Answer::Take);
        self.run_until(&journal, what, || journal.is_done()).await;
        self.assert_order(what);
        self.assert_all(what, 12, self.repeats);
    }

    async fn r5_loses_nothing_over_a_kill_before_an_acknowledgement(&self) {
        for acknowledged in 0..4_usize {
            let what = format!("R5: killed when {acknowledged} are acknowledged");
            let journal = Journal::new(records(1, 4));
            self.peer.reset(|_, _| Answer::Take);
            journal.hang_after(Some(acknowledged));
            let reached = || {
                journal.open_positions().len() == 4 - acknowledged
                    && self.peer.attempted() as usize > acknowledged
            };
            self.run_and_kill(&journal, &what, reached).await;
            journal.hang_after(None);
            self.run_until(&journal, &what, || journal.is_done()).await;
            self.assert_order(&what);
            self.assert_all(&what, 4, self.repeats);
        }
    }

    async fn r6_a_builder_that_fails_holds_up_no_other(&self) {
        if self.one_line {
            return;
        }
        let journal = Journal::new(records(3, 4));
        let bad = |seen: &Seen| seen.builder == "b1";
        self.peer.reset(move |seen, _| if bad(seen) { Answer::Later } else { Answer::Take });
        // The eight of the others are through while the first of b1 is still refused.
        self.run_and_kill(&journal, "R6", || journal.open_positions().len() == 4).await;
        assert!(self.peer.taken().iter().all(|seen| seen.builder != "b1"), "R6: taken");
        assert_eq!(self.peer.attempts_of("b1", 2), 0, "R6: overtaken");
        self.peer.script(|_, _| Answer::Take);
        self.run_until(&journal, "R6", || journal.is_done()).await;
        self.assert_order("R6");
        self.assert_all("R6", 12, 0);
    }

    async fn r7_has_the_figures_of_every_target(&self) {
        let journal = Journal::new(records(1, 3));
        let bad = |seen: &Seen, attempt| match (seen.number, attempt) {
            (1, 1) => Answer::Later,
            (2, _) => Answer::Never,
            _ => Answer::Take,
        };
        self.peer.reset(bad);
        let mut life = self.live(&journal);
        let done = |s: &crate::TargetState| s.delivered == 2 && s.dead_letters == 1;
        let kind = self.wait_for(&mut life, "R7", done).await.kind;
        let figures = life.figures();
        for (name, labels, value) in [
            ("deliveries_total", "outcome=\"delivered\",reason=\"\",", "2"),
            ("deliveries_total", "outcome=\"dead\",reason=\"permanent\",", "1"),
            ("delivery_retries_total", "reason=\"transient\",", ""),
            ("delivery_dead_letters_total", "reason=\"permanent\",", "1"),
            ("delivery_attempts_total", "result=\"ok\",", ""),
            ("delivery_attempts_total", "result=\"transient\",", ""),
            ("delivery_lag_seconds_count", "", "2"),
            ("deliveries_in_flight", "", ""),
            ("delivery_backlog", "", ""),
            ("delivery_budget_wait_seconds_count", "", ""),
        ] {
            let (mine, all) = (format!("kind=\"{kind}\",master=\"ns/main\","), "target=\"test\"");
            let line = format!("buildbot_status_{name}{{{mine}{labels}{all}}} {value}");
            assert!(figures.contains(&line), "R7: no {line} in\n{figures}");
        }
        life.end().await;
    }

    async fn r8_says_how_it_fares(&self) {
        let journal = Journal::new(records(1, 2));
        self.peer.reset(|seen, _| if seen.number == 2 { Answer::Later } else { Answer::Take });
        let mut life = self.live(&journal);
        let state = self.wait_for(&mut life, "R8", |s| s.health == Health::Retrying).await;
        assert_eq!((state.name.as_str(), state.kind.is_empty()), ("test", false), "R8");
        let problem = state.last_error.expect("R8: what failed last");
        assert!(problem.class == "transient" && !problem.text.is_empty(), "R8: {problem:?}");
        self.peer.script(|_, _| Answer::Take);
        let state = self.wait_for(&mut life, "R8", |s| s.delivered == 2).await;
        assert!(state.retried >= 1 && state.last_success.is_some(), "R8: {state:?}");
        self.wait_for(&mut life, "R8", |s| s.backlog == 0 && s.in_flight == 0).await;
        life.cancel.cancel();
        self.wait_for(&mut life, "R8", |s| s.health == Health::Stopped).await;
        life.end().await;
    }

    async fn r9_tells_no_secret(&self) {
        let journal = Journal::new(records(1, 1));
        self.peer.reset(|_, _| Answer::Never);
        let mut life = self.live(&journal);
        let state = self.wait_for(&mut life, "R9", |s| s.dead_letters == 1).await;
        life.end().await;
        let told = format!("{:?} {state:?}", journal.dead());
        assert_eq!(told.contains("***"), self.secret, "R9: the peer's words are kept: {told}");
        assert!(!told.contains(SECRET), "R9: {told}");
    }

    async fn r10_waits_for_its_budget(&self) {
        let journal = Journal::new(records(1, 1));
        self.peer.reset(|_, _| Answer::Take);
        let budget = Arc::new(Budget::new(&[Limit::rate(MESSAGES, 1, Duration::from_secs(3600))]));
        budget.hold(Duration::from_secs(3600));
        let mut life = self.live_with(&journal, budget, None);
        self.wait_for(&mut life, "R10", |s| s.health == Health::Throttled).await;
        assert!(self.peer.attempted() == 0 && !journal.is_done(), "R10: sent all the same");
        life.kill().await;
        let budget = Arc::new(Budget::new(&[Limit::rate(MESSAGES, 1, Duration::from_secs(3600))]));
        let mut life = self.live_with(&journal, Arc::clone(&budget), None);
        self.wait_for(&mut life, "R10", |s| s.delivered == 1).await;
        assert_eq!(budget.left()[MESSAGES], 0, "R10: costs nothing");
        life.end().await;
    }

    async fn r11_skips_old_news(&self) {
        let mut all = records(1, 3);
        if let Event::BuildFinished { build } = &mut all[0].event {
            build.complete_at = Some(Timestamp(Timestamp::now().0 - 7200));
        }
        let journal = Journal::new(all);
        self.peer.reset(|_, _| Answer::Take);
        let mut life = self.live_with(&journal, Arc::default(), Some(Duration::from_secs(3600)));
        self.wait_for(&mut life, "R11", |s| s.delivered == 2 && s.skipped == 1).await;
        assert!(life.figures().contains("reason=\"too-old\""), "R11");
        life.end().await;
        assert_eq!(self.peer.attempts_of("b1", 1), 0, "R11: sent all the same");
        assert!(journal.is_done() && journal.dead().is_empty(), "R11: {:?}", journal.dead());
    }

    async fn r12_stops_at_once_and_goes_on_later(&self) {
        let journal = Journal::new(records(2, 2));
        self.peer.reset(|_, _| Answer::Hang);
        let life = self.live(&journal);
        self.wait(&journal, "R12", || self.peer.attempted() > 0).await;
        life.end().await;
        assert_eq!(journal.open_positions().len(), 4, "R12: acknowledged without an answer");
        self.peer.script(|_, _| Answer::Take);
        self.run_until(&journal, "R12", || journal.is_done()).await;
        self.assert_order("R12");
        self.assert_all("R12", 4, 0);
    }

    async fn r13_says_whether_its_peer_can_be_reached(&self) {
        let journal = Journal::new(records(1, 3));
        self.peer.reset(|_, _| Answer::Hang);
        let mut life = self.live(&journal);
        self.wait(&journal, "R13", || self.peer.attempted() > 0).await;
        let peer = life.state.borrow().peer.clone();
        assert_eq!(peer.state, PeerState::Unknown, "R13: nothing has answered: {peer:?}");
        life.kill().await;

        self.peer.reset(|seen, _| if seen.number == 2 { Answer::Later } else { Answer::Take });
        life = self.live(&journal);
        let unreachable = |s: &crate::TargetState| s.peer.state == PeerState::Unreachable;
        let peer = self.wait_for(&mut life, "R13", unreachable).await.peer;
        assert_eq!(peer.reason, "Transient", "R13: {peer:?}");
        assert!(!peer.message.is_empty() && peer.since_ms > 0, "R13: {peer:?}");
        assert!(!peer.message.contains(SECRET), "R13: {peer:?}");
        // A message that is refused for good says nothing against the peer.
        self.peer.script(|_, _| Answer::Never);
        let state = self.wait_for(&mut life, "R13", |s| s.dead_letters >= 2).await;
        let peer = state.peer;
        assert_eq!((peer.state, peer.message.as_str()), (PeerState::Reachable, ""), "R13");
        life.end().await;
    }

    async fn r14_says_what_came_of_a_record(&self) {
        let journal = Journal::new(records(1, 3));
        // One after two failures, one for good, one at once.
        self.peer.reset(|seen, attempt| match (seen.number, attempt) {
            (1, 1 | 2) => Answer::Later,
            (2, _) => Answer::Never,
            _ => Answer::Take,
        });
        self.run_until(&journal, "R14", || journal.is_done()).await;
        let (delivered, failed) = journal.counted();
        assert_eq!(delivered, 2, "R14: records of which the peer took all or a part");
        // In one request with the others, a record shares their failures.
        assert!(failed >= 3, "R14: attempts that failed: {failed}");
        if !self.one_line {
            assert_eq!(failed, 3, "R14: attempts that failed");
        }
    }
}
