//! An event's trace (K07), from the master's frame to its deliveries, over the processes' borders.

use crate::rig::{BUILDER, PATIENCE, Rig, finished};
use e2e::{Collector, Exported, Process, binary, wait_until};
use std::process::Command;

const PUSH: &str = "http_push/push";

/// The first span that is so.
async fn span(collector: &Collector, what: &str, is: impl Fn(&Exported) -> bool) -> Exported {
    wait_until(what, PATIENCE, async || collector.spans().into_iter().find(|span| is(span))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_a_trace_goes_from_the_masters_frame_in_the_feed_to_each_delivery_elsewhere() {
    let collector = Collector::start().await;
    let rig = Rig::start_in(collector.environment()).await;
    let mail = rig.target("mail", "mail", "mail/mail").await;
    let push = rig.target("push", "push", PUSH).await;
    rig.lab.force(BUILDER).await;

    let of_build = |span: &Exported| {
        let identity = span.attribute("identity");
        let build = identity.contains("/build/") && identity.ends_with("/finished");
        span.name == "event" && build
    };
    let event = span(&collector, "the root of a finished build's trace", of_build).await;
    assert_eq!((event.service.as_str(), &event.parent), ("buildbot-status-feed", &None));
    let root = &event.place;
    let journal = |span: &Exported| span.name == "journal" && span.parent.as_ref() == Some(root);
    let journal = span(&collector, "its transaction", journal).await;
    assert_eq!(journal.service, event.service);
    let mut deliveries = Vec::new();
    for kind in ["mail", "http_push"] {
        let is = |span: &Exported| {
            span.name == "deliver" && span.attribute("kind") == kind && span.is_of(root)
        };
        deliveries.push(span(&collector, &format!("its delivery by {kind}"), is).await);
    }
    assert_eq!(deliveries[0].place.trace, root.trace, "a mail is about one event");
    for delivery in deliveries {
        assert_eq!(delivery.service, "buildbot-status-target");
        // The frame came, then it was journaled, then somebody was told.
        assert!(event.began < journal.began && journal.began <= journal.ended);
        assert!(journal.ended <= delivery.began && delivery.began <= delivery.ended);
    }
    mail.end().await;
    push.end().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_an_event_that_is_delivered_once_more_after_a_kill_keeps_its_trace() {
    let collector = Collector::start().await;
    let rig = Rig::start_in(collector.environment()).await;
    let (link, url) = rig.link().await;
    rig.receiver.hold(true);
    let mut push = rig.target_by(&url, "push", "push", PUSH).await;
    rig.lab.force(BUILDER).await;
    wait_until("a request is with the receiver", PATIENCE, async || {
        (!rig.receiver.packets().is_empty()).then_some(())
    })
    .await;
    // Taken by the receiver, and never acknowledged to the feed.
    link.stall(true);
    rig.receiver.hold(false);
    let first = span(&collector, "the first delivery", |span| span.name == "deliver").await;
    push.kill();
    link.cut();
    link.stall(false);
    push.crash();

    let again = |span: &Exported| {
        span.name == "deliver" && span.parent == first.parent && span.place != first.place
    };
    let again = span(&collector, "the second delivery", again).await;
    assert_eq!(again.place.trace, first.place.trace);
    let root = first.parent.unwrap();
    let of_event = |span: &Exported| span.name == "event" && span.place == root;
    let event = span(&collector, "the event's root", of_event).await;
    assert_eq!(event.service, "buildbot-status-feed");
    wait_until("the build is pushed", PATIENCE, async || {
        (!finished(&rig.receiver.packets()).is_empty()).then_some(())
    })
    .await;
    // Journaled once, pushed twice.
    assert_eq!(collector.spans().into_iter().filter(of_event).count(), 1);
    let same = || {
        let packets = rig.receiver.packets();
        packets.iter().filter(|packet| packet["id"] == packets[0]["id"]).count()
    };
    wait_until("the first packet comes again", PATIENCE, async || (same() > 1).then_some(())).await;
    assert_eq!(same(), 2, "{:#?}", rig.receiver.packets());
    push.end().await;
    rig.end().await;
}

#[tokio::test]
async fn k07_an_event_has_one_trace_from_its_frame_to_its_delivery_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let mut command = Command::new(binary());
    command.args(["demo", "--port", "0", "--metrics", "127.0.0.1:0", "--speed", "30", "--data"]);
    command.arg(folder.path().join("data")).envs(collector.environment());
    let _demo = Process::start(&mut command, &folder.path().join("out"));
    let mail = |span: &Exported| span.name == "deliver" && span.attribute("kind") == "mail";
    let mail = span(&collector, "a mail", mail).await;
    let root = |span: &Exported| span.name == "event" && Some(&span.place) == mail.parent.as_ref();
    let event = span(&collector, "the root of its trace", root).await;
    assert!(event.attribute("identity").contains("/build/"), "{event:?}");
    for span in [mail, event] {
        assert_eq!(span.service, "buildbot-status-demo");
    }
}
