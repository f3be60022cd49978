//! 200 builds of a real master through all targets at once. What arrives is what is due, to the last message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arrived;
mod truth;
mod world;

use e2e::{Standalone, wait_until};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, Instant},
};
use tokio::time::timeout;
use truth::Truth;
use world::{CHUNK, REQUESTS, World};

const PATIENCE: Duration = Duration::from_secs(300);
/// kill -9 of the program.
const KILLS: usize = 1;
/// Receivers go away once. Whoever was about to answer leaves the same doubt as a kill.
const CLOSED: usize = 1;

/// What happens once so many builds have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The program is killed and started again.
    Kill,
    /// No receiver can be reached.
    Close,
    /// All can again.
    Open,
    /// The master is ended in an orderly way, and started again.
    Restart,
}

const BLOWS: [(usize, Blow); 4] =
    [(40, Blow::Kill), (80, Blow::Close), (120, Blow::Open), (150, Blow::Restart)];

/// Sees to it that the builds of the builder `stopped` are cancelled, and lets the blows fall, until all that was
/// asked for has ended.
async fn run(world: &mut World, standalone: &mut Standalone) {
    let mut blows = BLOWS.into_iter().peekable();
    let builders = world.master.list("builders", "builders").await.unwrap();
    let stopped = builders.iter().find(|builder| builder["name"] == "stopped").unwrap();
    let stopped = format!("builders/{}/builds?complete=false", stopped["builderid"]);
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < PATIENCE, "the builds do not end:\n{}", world.master.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let list = async |path: &str, kind: &str| world.master.list(path, kind).await;
        let Some(waiting) = list(&stopped, "builds").await else { continue };
        for build in waiting {
            let path = format!("builds/{}", build["buildid"]);
            // One that has ended meanwhile is stopped in vain.
            world.master.act(&path, "stop", json!({ "reason": "enough of it" })).await;
        }
        let builds = list("builds?limit=5000&field=complete", "builds").await;
        let asked = list("buildrequests?limit=5000&field=complete", "buildrequests").await;
        let (Some(builds), Some(asked)) = (builds, asked) else { continue };
        let ended = builds.iter().filter(|build| build["complete"] == true).count();
        while let Some((_, blow)) = blows.next_if(|(after, _)| ended >= *after) {
            match blow {
                Blow::Kill => standalone.crash(),
                Blow::Close => world.close().await,
                Blow::Open => world.open().await,
                Blow::Restart => world.master.restart().await,
            }
        }
        let all =
            asked.len() == REQUESTS && asked.iter().all(|request| request["complete"] == true);
        if all && ended == builds.len() {
            break;
        }
    }
    assert_eq!(blows.next(), None, "every blow fell");
}

/// Says what is missing and what is too much, which is less to read than all.
fn same<T: Ord + Debug>(what: &str, came: &BTreeSet<T>, due: &BTreeSet<T>) {
    let missing: Vec<&T> = due.difference(came).collect();
    let more: Vec<&T> = came.difference(due).collect();
    assert!(missing.is_empty() && more.is_empty(), "{what}: missing {missing:#?}, more {more:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn m02_g03_g04_g06_g07_k09_of_200_builds_what_arrives_everywhere_is_what_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path()).await;
    let mut standalone = Standalone::start(folder.path(), "data", &world.manifests());
    standalone.connected().await;
    // What the master has when it is read for the first time is history, and not told.
    wait_until("the master is read to its end", PATIENCE, async || {
        let live = standalone.figure("buildbot_status_master_state{state=\"live\"").await?;
        (live == 1.0).then_some(())
    })
    .await;
    world.push().await;
    run(&mut world, &mut standalone).await;
    let truth = Truth::read(&world.master).await;
    let results: BTreeSet<&str> = truth.builds.iter().map(|build| build.result).collect();
    let all = ["cancelled", "exception", "failure", "retry", "success", "warnings"];
    assert_eq!(results, all.into(), "every result is there");
    assert!(truth.builds.len() >= 200, "{} builds", truth.builds.len());

    // The last events are the end of a build and of its buildset: once both are told, all is in the journal.
    // Where that does not come to pass, what is missing is said below.
    let (statuses, summaries) = (truth.statuses().values().map(Vec::len).sum(), truth.summaries());
    let told = wait_until("all is told", 2 * PATIENCE, async || {
        if standalone.figure("buildbot_status_delivery_backlog").await? > 0.0 {
            return None;
        }
        let told: usize = arrived::statuses(&world, usize::MAX).values().map(Vec::len).sum();
        let said = arrived::reviews(&world, "autogenerated:summaries", usize::MAX).await;
        (told >= statuses && said.len() >= summaries.len()).then_some(())
    });
    let whole = timeout(PATIENCE, told).await;
    let parked = standalone.figure("buildbot_status_feed_consumer_dead_letters").await;
    assert_eq!(parked, Some(0.0), "given up:\n{}", standalone.printed());
    standalone.end().await;

    let allowed = KILLS + CLOSED;
    same("mails", &arrived::mails(&world, "results", allowed), &truth.mailed());
    same("mails of changes", &arrived::mails(&world, "changes", allowed), &truth.changed());
    let pushed = arrived::packets("HttpPush", &world.receiver.posts(), allowed);
    same("pushes", &pushed, &truth.packets());
    // The program is never away; what was given to it at once is not known here, only how much at most.
    let written: Vec<_> = world.written().into_iter().map(|packet| vec![packet]).collect();
    let taken = arrived::packets("StatusPush", &written, KILLS * CHUNK);
    same("packets given to the program", &taken, &truth.packets());
    assert_eq!(arrived::statuses(&world, allowed), truth.statuses());
    let reviews = arrived::reviews(&world, "autogenerated:reviews", allowed).await;
    same("reviews", &reviews, &truth.reviews());
    let summaries = arrived::reviews(&world, "autogenerated:summaries", allowed).await;
    same("summaries", &summaries, &truth.summaries());
    assert!(whole.is_ok(), "a backlog remains:\n{}", standalone.printed());
    for vote in ["Verified+1 ", "Verified-1 "] {
        assert!(summaries.iter().any(|(_, text)| text.starts_with(vote)), "{summaries:#?}");
    }
    let World { master, gerrit, .. } = world;
    gerrit.end().await;
    master.end().await;
}
