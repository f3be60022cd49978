//! A feed, and a process for each target: whichever is killed, suspended, doubled or refused, each
//! build is told of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod following;
mod rig;
mod traces;

use e2e::{Mailbox, Receiver, figure, wait_until};
use rig::{BUILDER, PATIENCE, Rig, finished, json, printed};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PUSH: &str = "http_push/push";

/// How often each Message-ID came, and how many builds a push told of as finished.
fn told(mailbox: &Mailbox, receiver: &Receiver) -> (BTreeMap<String, usize>, usize) {
    let mut mails = BTreeMap::new();
    for mail in mailbox.mails() {
        *mails.entry(mail.header("Message-ID")).or_default() += 1;
    }
    let builds: BTreeSet<u64> = finished(&receiver.packets()).into_iter().collect();
    (mails, builds.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_build_is_told_of_whichever_process_is_killed() {
    let mut rig = Rig::start().await;
    let mut targets = Vec::new();
    for (name, consumer) in [("mail", "mail/mail"), ("push", PUSH), ("pages", "pages")] {
        targets.push(rig.target(name, name, consumer).await);
    }

    let mut kills = 0;
    let (mailbox, receiver) = (&rig.mailbox, &rig.receiver);
    let arrived = async |builds: usize| {
        wait_until("a mail and a push for each build", PATIENCE, async || {
            let (mails, pushed) = told(mailbox, receiver);
            (mails.len() >= builds && pushed >= builds).then_some(())
        })
        .await;
    };
    rig.lab.force(BUILDER).await;
    arrived(1).await;
    rig.lab.force(BUILDER).await;
    rig.feed.kill();
    for target in &targets {
        wait_until("a target's figures say that its feed is away", PATIENCE, async || {
            let away = "buildbot_status_master_state{state=\"feedAway\"";
            (figure(target.metrics(), away).await? > 0.5).then_some(())
        })
        .await;
    }
    rig.feed.crash();
    kills += 1;
    arrived(2).await;
    for (at, target) in targets.iter_mut().enumerate() {
        rig.lab.force(BUILDER).await;
        target.crash();
        kills += 1;
        arrived(3 + at).await;
    }

    let (mails, _) = told(&rig.mailbox, &rig.receiver);
    assert_eq!(mails.len(), 5, "{mails:?}");
    let repeats: usize = mails.values().map(|times| times - 1).sum();
    assert!(repeats <= kills, "{mails:?}");
    let listed = rig.listed();
    let consumers = listed["consumers"].as_array().unwrap();
    let names: Vec<&str> = consumers.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, [PUSH, "mail/mail"]);
    assert_eq!(listed["dead_letters"].as_array().unwrap().len(), 0);
    for target in targets {
        target.end().await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refused_for_good_is_seen_replayed_and_dropped_by_hand() {
    let rig = Rig::start().await;
    let push = rig.target("push", "push", PUSH).await;
    rig.receiver.refuse(Some("buildFinished"));
    rig.lab.force(BUILDER).await;
    rig.lab.force(BUILDER).await;
    let letters = wait_until("two pushes are given up", PATIENCE, async || {
        let listed = rig.listed()["dead_letters"].as_array().unwrap().clone();
        (listed.len() == 2).then_some(listed)
    })
    .await;
    let text = |letter: &Value, field: &str| letter[field].as_str().unwrap().to_owned();
    for letter in &letters {
        assert_eq!(letter["consumer"], PUSH);
        assert_eq!(letter["class"], "permanent");
        assert!(text(letter, "text").contains("422"), "{letter}");
    }
    // A position is written `EPOCH.SEQ` by people.
    let positions: Vec<String> = letters
        .iter()
        .map(|l| format!("{}.{}", l["position"]["epoch"], l["position"]["seq"]))
        .collect();
    let (first, second) = (positions[0].as_str(), positions[1].as_str());
    let table = printed(&rig.deliveries(&["list", "--consumer", PUSH]));
    assert!(table.contains(first) && table.contains(second), "{table}");

    let show = |position| ["show", "--consumer", PUSH, position];
    let whole = printed(&rig.deliveries(&show(first)));
    let identity = text(&letters[0], "identity");
    for part in [first, &identity, "permanent", "422", "buildFinished", BUILDER] {
        assert!(whole.contains(part), "{part} is not in:\n{whole}");
    }
    let mut show_json = show(first).to_vec();
    show_json.extend(["--output", "json"]);
    let shown = json(&rig.deliveries(&show_json));
    assert_eq!(shown["record"]["event"]["build"]["number"], letters[0]["number"], "{shown}");
    assert_eq!(shown["record"]["position"], letters[0]["position"]);

    // One who may not, what is not there, and what is not said plainly.
    let reader = rig.token(PUSH, &["read"]);
    let replay = ["replay", "--consumer", PUSH, first];
    assert_eq!(rig.deliveries_as(&reader, &replay).status.code(), Some(1));
    assert_eq!(rig.deliveries(&show("1.1")).status.code(), Some(1));
    assert_eq!(rig.deliveries(&["drop", "--consumer", PUSH, "--all"]).status.code(), Some(2));
    assert_eq!(rig.listed()["dead_letters"].as_array().unwrap().len(), 2);

    let said = printed(&rig.deliveries(&["drop", "--consumer", PUSH, second]));
    assert_eq!(said, format!("1 dead letter of {PUSH} dropped\n"));
    assert_eq!(rig.deliveries(&["drop", "--consumer", PUSH, second]).status.code(), Some(1));
    rig.receiver.refuse(None);
    let said = printed(&rig.deliveries(&replay));
    assert_eq!(said, format!("1 dead letter of {PUSH} handed out once more\n"));
    wait_until("no dead letter is left", PATIENCE, async || {
        rig.listed()["dead_letters"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    let build = letters[0]["number"].as_u64().unwrap();
    rig.lab.force(BUILDER).await;
    wait_until("the next build is pushed", PATIENCE, async || {
        finished(&rig.receiver.packets()).iter().any(|number| *number > build + 1).then_some(())
    })
    .await;
    // The replayed one once, the dropped one never.
    assert_eq!(finished(&rig.receiver.packets()), [build, build + 2]);
    let of = |packets: Vec<Value>| {
        let mut found = packets.into_iter().filter(|packet| {
            packet["event"] == "buildFinished" && packet["payload"]["build"]["number"] == build
        });
        found.next().unwrap()["payload"].clone()
    };
    assert_eq!(of(rig.receiver.packets()), of(rig.receiver.refused()));
    push.end().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_suspended_or_runs_twice_loses_nothing() {
    let rig = Rig::start().await;
    let backlog = || rig.listed()["consumers"][0]["backlog"].as_u64().unwrap();
    let suspended = rig.more("push", "suspend: true");
    let asleep = rig.target("asleep", &suspended, PUSH).await;
    assert_eq!(rig.listed()["consumers"][0]["name"], PUSH);
    let mut waiting = backlog();
    for build in 1..=2 {
        rig.lab.force(BUILDER).await;
        wait_until("the build has ended", PATIENCE, async || {
            (rig.lab.finished().await?.len() == build).then_some(())
        })
        .await;
        waiting = wait_until("the backlog grows", PATIENCE, async || {
            Some(backlog()).filter(|now| *now > waiting)
        })
        .await;
    }
    assert_eq!(rig.receiver.packets(), Vec::<Value>::new());
    asleep.end().await;
    assert!(backlog() >= waiting, "the place is kept");

    let told = async |builds: usize| {
        wait_until("each build is pushed", PATIENCE, async || {
            let numbers: BTreeSet<u64> = finished(&rig.receiver.packets()).into_iter().collect();
            (numbers.len() == builds).then_some(())
        })
        .await;
    };
    let older = rig.target("older", "push", PUSH).await;
    told(2).await;
    let numbers = finished(&rig.receiver.packets());
    assert!(numbers.len() == 2 && numbers[0] + 1 == numbers[1], "in order, once: {numbers:?}");

    let newer = rig.target("newer", "push", PUSH).await;
    wait_until("the older one is superseded", PATIENCE, async || {
        older.printed().contains("another process runs it as well").then_some(())
    })
    .await;
    // One after the other: a master makes one build of two requests that wait together.
    for builds in [3, 4] {
        rig.lab.force(BUILDER).await;
        told(builds).await;
    }
    older.end().await;
    newer.end().await;
    rig.end().await;
}
