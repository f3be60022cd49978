//! The promise: none lost, at most one repeat a kill, whatever is cut and killed on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{FinishedBuild, Lab, Mail, Mailbox, Proxy, Receiver, Standalone, manifests, wait_until};
use feed::{BuildQuery, Feed, Item, Options};
use model::{Event, Position};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::{Duration, Instant},
};

const CUTS: usize = 8;
const KILLS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The connection to the master is cut.
    Cut,
    /// The master is killed and started again.
    Master,
    /// The standalone process is killed and started again.
    Standalone,
}

/// When each blow falls: once so many builds have ended.
fn blows(seed: u64) -> Vec<(usize, Blow)> {
    let mut random = StdRng::seed_from_u64(seed);
    let all = std::iter::repeat_n(Blow::Cut, CUTS)
        .chain([Blow::Master])
        .chain(std::iter::repeat_n(Blow::Standalone, KILLS));
    let mut blows: Vec<_> = all.map(|blow| (random.random_range(1..26), blow)).collect();
    blows.sort_by_key(|(after, _)| *after);
    blows
}

#[tokio::test(flavor = "multi_thread")]
async fn k09_none_is_lost_over_cuts_and_kills() {
    let seed = env::var("LONG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::start(folder.path(), 0.1, &[]).await;
    let mailbox = Mailbox::start(folder.path()).await;
    let receiver = Receiver::start().await;
    let proxy = Proxy::start(lab.port()).await;
    let text = manifests(proxy.port(), mailbox.port(), &receiver.url());
    let mut standalone = Standalone::start(folder.path(), "data", &text);
    standalone.connected().await;

    let acts =
        "commits,branch,results,library,release,try,fuzz,more_commits,cancel,crash,broken_release";
    let mut scenario = lab.scenario(seed, acts);
    let mut pending = blows(seed).into_iter().peekable();
    let begin = Instant::now();
    let ended = loop {
        assert!(
            begin.elapsed() < Duration::from_secs(600),
            "the scenario does not end:\n{}",
            scenario.printed()
        );
        let finished = lab.finished().await.map_or(0, |builds| builds.len());
        while let Some((_, blow)) = pending.next_if(|(after, _)| finished >= *after) {
            match blow {
                Blow::Cut => proxy.cut(),
                Blow::Master => lab.crash().await,
                Blow::Standalone => standalone.crash(),
            }
        }
        if let Some(status) = scenario.ended() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(ended.success(), "{}", scenario.printed());
    assert_eq!(pending.next(), None, "every blow fell");

    // Whatever the master has, arrives.
    let truth = lab.finished().await.unwrap();
    assert!(truth.len() >= 30, "{} builds are too few to show anything", truth.len());
    let selected: BTreeSet<&FinishedBuild> =
        truth.iter().filter(|b| [0, 1, 2, 4].contains(&b.results)).collect();
    wait_until(
        "a mail for each selected build and a push for each build",
        Duration::from_secs(90),
        async || {
            let mails = builds_of(&mailbox.mails(), &truth);
            let pushed = finished_pushes(&receiver);
            (selected.iter().all(|b| mails.contains_key(&b.id))
                && truth.iter().all(|b| pushed.contains(&(b.builder.clone(), b.number))))
            .then_some(())
        },
    )
    .await;
    standalone.end().await;

    mails_are_right(&mailbox.mails(), &truth, &selected);
    let order = journal_is_right(&standalone, &truth).await;
    pushes_are_right(&receiver, &order);
    lab.end().await;
}

/// Mails by the build that they are about: each links to exactly one build's page.
fn builds_of(mails: &[Mail], truth: &[FinishedBuild]) -> BTreeMap<u64, Vec<String>> {
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for mail in mails {
        let body = mail.body();
        let link =
            body.lines().find_map(|line| line.split("http://status.example.org/builders/").nth(1));
        let link = link.unwrap_or_else(|| panic!("no link to a build in:\n{}", mail.text()));
        let (builder, number) = link.trim_end().split_once("/builds/").unwrap();
        let number: u64 =
            number.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
        let builder = percent_decoded(builder);
        let build = truth.iter().find(|b| b.builder == builder && b.number == number);
        if let Some(build) = build {
            found.entry(build.id).or_default().push(mail.header("Message-ID"));
        }
    }
    found
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let code: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&code, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn mails_are_right(mails: &[Mail], truth: &[FinishedBuild], selected: &BTreeSet<&FinishedBuild>) {
    let by_build = builds_of(mails, truth);
    let expected: BTreeSet<u64> = selected.iter().map(|b| b.id).collect();
    assert_eq!(
        by_build.keys().copied().collect::<BTreeSet<_>>(),
        expected,
        "mails for the selected builds and no other"
    );
    let mut repeats = 0;
    for (build, ids) in &by_build {
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 1, "build {build} has one Message-ID");
        assert!(!ids[0].is_empty());
        repeats += ids.len() - 1;
    }
    assert!(repeats <= KILLS, "{repeats} repeats in {KILLS} kills");
}

/// Reads the journal as it lies on disk. Returns builder and number of each finished build, in its order.
async fn journal_is_right(standalone: &Standalone, truth: &[FinishedBuild]) -> Vec<(String, u64)> {
    let feed = Feed::open(&standalone.journal(), Options::default()).unwrap();
    let stored =
        feed.builds(BuildQuery { limit: BuildQuery::MAX, ..BuildQuery::default() }).await.unwrap();
    let key = |b: &FinishedBuild| (b.id, b.builder.clone(), b.number, b.results);
    let mut stored: Vec<_> = stored
        .iter()
        .map(|b| {
            (
                b.id.0,
                b.builder.name.to_string(),
                b.number,
                b.outcome.map_or(99, |o| u64::from(o.code())),
            )
        })
        .collect();
    stored.sort();
    assert_eq!(
        stored,
        truth.iter().map(key).collect::<Vec<_>>(),
        "the journal's builds are the master's"
    );

    let head = feed.head();
    let mut follower = feed.follow(Position { epoch: head.epoch, seq: 0 });
    let mut order = Vec::new();
    let mut at = Position::default();
    while at < head {
        if let Item::Record(record) = follower.next().await {
            at = record.position;
            if let Event::BuildFinished { build } = &record.event {
                order.push((build.builder.name.to_string(), build.number));
            }
        }
    }
    let once: BTreeSet<_> = order.iter().collect();
    assert_eq!(once.len(), order.len(), "each build finishes once in the journal");
    assert_eq!(order.len(), truth.len(), "each build finishes in the journal");
    feed.close().await;
    order
}

fn finished_pushes(receiver: &Receiver) -> Vec<(String, u64)> {
    let finished = receiver
        .packets()
        .into_iter()
        .filter(|packet| packet["event"] == "buildFinished")
        .map(|packet| {
            let build = &packet["payload"]["build"];
            (build["builderName"].as_str().unwrap().to_owned(), build["number"].as_u64().unwrap())
        });
    finished.collect()
}

/// Each build's end was pushed; without the repeats of kills, each builder's builds come in the journal's order.
fn pushes_are_right(receiver: &Receiver, order: &[(String, u64)]) {
    let mut seen = BTreeSet::new();
    let pushed: Vec<_> =
        finished_pushes(receiver).into_iter().filter(|build| seen.insert(build.clone())).collect();
    let builders: BTreeSet<&String> = order.iter().map(|(builder, _)| builder).collect();
    for builder in builders {
        let of = |list: &[(String, u64)]| {
            list.iter().filter(|(b, _)| b == builder).map(|(_, n)| *n).collect::<Vec<_>>()
        };
        assert_eq!(of(&pushed), of(order), "pushes of {builder} are complete and in order");
    }
}
