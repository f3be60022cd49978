//! Every argument of the waterfall against a real master's data (P02): pages are asked for over HTTP, and what
//! they must show is worked out from the master's own REST rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)] // a program of tests

mod page;
mod truth;
mod world;

use libtest_mimic::{Arguments, Trial};
use page::{Key, Page};
use std::{collections::BTreeSet, process::ExitCode, time::SystemTime};
use truth::Build;
use world::{WORLD, World, world};

const DAY: i64 = 86_400;
/// Asks for all rows and all times.
const ALL: &str = "num_events=100000&first_time=0";
/// The words that a box says a result with, by Buildbot's code.
const WORDS: [&str; 7] =
    ["success", "warnings", "failed", "skipped", "exception", "retry", "cancelled"];

/// Tests by the names of their functions.
macro_rules! trials {
    ($($test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || { $test(world()); Ok(()) })),*]
    };
}
fn main() -> ExitCode {
    let trials = trials![
        p02_every_build_of_the_master_stands_once_with_its_result,
        p02_boxes_hold_the_masters_steps_and_the_logs_that_say_something,
        p02_changes_are_the_masters,
        p02_builder_chooses_columns,
        p02_show_is_the_old_name_of_builder,
        p02_category_chooses_the_builders_that_have_the_tag,
        p02_branch_chooses_builds_and_changes_by_their_source_stamps,
        p02_branch_trunk_means_builds_without_a_branch,
        p02_branch_and_committer_look_back_a_day_unless_a_time_is_given,
        p02_committer_chooses_by_who_made_the_changes_or_the_patch,
        p02_project_chooses_builds_and_leaves_the_changes,
        p02_show_events_tells_of_a_worker_that_went_and_came,
        p02_failures_only_chooses_builders_that_fail_or_are_offline,
        p02_last_time_shows_what_had_ended_by_then,
        p02_first_time_shows_what_ended_after_it,
        p02_show_time_reaches_back_from_last_time_and_wins_over_first_time,
        p02_num_events_bounds_the_rows_and_keeps_the_newest,
        p02_num_events_follows_the_manifest_up_to_the_most,
        p02_older_pages_show_every_build_once,
        p02_reload_is_kept_by_the_browser_until_it_is_stopped,
        p02_view_compact_shows_the_same_builds_without_steps,
        p02_arguments_narrow_together,
        p02_help_offers_the_masters_builders_and_categories,
    ];
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    if let Some(Some(world)) = WORLD.get()
        && let Some((mut standalone, lab, folder)) = world.running.lock().unwrap().take()
    {
        world.runtime.block_on(async {
            standalone.end().await;
            lab.end().await;
        });
        drop(folder);
    }
    conclusion.exit_code()
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn p02_every_build_of_the_master_stands_once_with_its_result(world: &World) {
    let page = world.page(ALL);
    let truth = &world.truth;
    let all: BTreeSet<Key> = truth.builds.iter().map(Build::key).collect();
    assert_eq!(page.keys(), all);
    for build in &truth.builds {
        let word = WORDS[usize::try_from(build.results).unwrap()];
        assert_eq!(page.builds[&build.key()], word, "{} {}", build.builder, build.number);
    }
    let results: BTreeSet<u64> = truth.builds.iter().map(|b| b.results).collect();
    assert_eq!(results.len(), WORDS.len(), "the master has every result");
    let names = truth.builders.iter().map(|b| b.name.clone()).collect();
    assert_eq!(sorted(page.columns), sorted(names));
}

fn p02_boxes_hold_the_masters_steps_and_the_logs_that_say_something(world: &World) {
    let page = world.page(ALL);
    for build in &world.truth.builds {
        let shown = page.steps.get(&build.key()).cloned().unwrap_or_default();
        let steps: BTreeSet<&String> = build.steps.iter().map(|(name, _)| name).collect();
        let what = format!("{} {}", build.builder, build.number);
        assert_eq!(shown.keys().collect::<BTreeSet<_>>(), steps, "{what}");
        for (step, shown) in &shown {
            let same = build.steps.iter().filter(|(name, _)| name == step);
            let logs: BTreeSet<&String> = same.flat_map(|(_, logs)| logs).collect();
            assert_eq!(shown.iter().collect::<BTreeSet<_>>(), logs, "{what}, {step}");
        }
    }
    let logs = world.truth.builds.iter().flat_map(|b| &b.steps).map(|(_, logs)| logs.len());
    assert!(logs.max() > Some(1), "a step has several logs");
}

fn p02_changes_are_the_masters(world: &World) {
    let all: BTreeSet<u64> = world.truth.changes.iter().map(|c| c.id).collect();
    assert_eq!(world.page("num_events=100000").changes, all);
}

fn p02_builder_chooses_columns(world: &World) {
    for names in [&["windows/msvc"][..], &["nightly 🌙 fuzz", "linux-clang asan"]] {
        let query: String = names.iter().map(|n| format!("&builder={}", encoded(n))).collect();
        let page = world.page(&format!("{ALL}{query}"));
        assert_eq!(page.columns, world.builders(|b| names.contains(&b.name.as_str())));
        assert_eq!(page.keys(), world.some(|b| names.contains(&b.builder.as_str())));
    }
}

fn p02_show_is_the_old_name_of_builder(world: &World) {
    let page = world.page(&format!("{ALL}&builder=docs&show=release"));
    assert_eq!(page.columns, ["docs", "release"]);
    assert_eq!(page.keys(), world.some(|b| b.builder == "docs" || b.builder == "release"));
}

fn p02_category_chooses_the_builders_that_have_the_tag(world: &World) {
    let tags: BTreeSet<&String> = world.truth.builders.iter().flat_map(|b| &b.tags).collect();
    assert!(tags.len() > 5, "{tags:?}");
    for tag in tags {
        let columns = world.builders(|b| b.tags.contains(tag));
        let page = world.page(&format!("{ALL}&category={}", encoded(tag)));
        assert_eq!(sorted(page.columns.clone()), columns, "{tag}");
        let builds = world.truth.builds.iter().filter(|b| columns.contains(&b.builder));
        assert_eq!(page.keys(), builds.map(Build::key).collect(), "{tag}");
    }
    let page = world.page(&format!("{ALL}&category=docs&category=release"));
    let both = |b: &truth::Builder| b.tags.iter().any(|t| t == "docs" || t == "release");
    assert_eq!(sorted(page.columns), world.builders(both));
}

fn p02_branch_chooses_builds_and_changes_by_their_source_stamps(world: &World) {
    for branch in ["main", "feature/io-uring"] {
        let page = world.page(&format!("{ALL}&branch={}", encoded(branch)));
        let on = Some(branch.to_owned());
        assert_eq!(page.keys(), world.some(|b| b.branches.contains(&on)), "{branch}");
        assert_eq!(page.changes, world.changes(|c| c.branch == on), "{branch}");
    }
    let both = world.page(&format!("{ALL}&branch=main&branch=feature%2Fio-uring"));
    assert_eq!(both.keys(), world.some(|b| b.branches.iter().any(Option::is_some)));
    assert!(world.page(&format!("{ALL}&branch=nosuch")).builds.is_empty());
}

fn p02_branch_trunk_means_builds_without_a_branch(world: &World) {
    let page = world.page(&format!("{ALL}&branch=trunk"));
    assert_eq!(page.keys(), world.some(|b| b.branches.contains(&None)));
}

fn p02_branch_and_committer_look_back_a_day_unless_a_time_is_given(world: &World) {
    let main = |b: &Build| b.branches.contains(&Some("main".to_owned()));
    let before = now() - DAY;
    let page = world.page("num_events=100000&branch=main");
    // Time went on between the two looks at the clock, and a page's measure is a minute.
    let edge = |b: &&Build| (b.end - before).abs() > 120;
    for build in world.truth.builds.iter().filter(|b| main(b)).filter(edge) {
        let shown = page.builds.contains_key(&build.key());
        assert_eq!(shown, build.end > before, "{} {}", build.builder, build.number);
    }
    assert!(page.builds.len() < world.some(main).len());
    for time in ["first_time=0", "show_time=9999999"] {
        let page = world.page(&format!("num_events=100000&branch=main&{time}"));
        assert_eq!(page.keys(), world.some(main), "{time}");
    }
}

fn p02_committer_chooses_by_who_made_the_changes_or_the_patch(world: &World) {
    let everybody: BTreeSet<&String> = world.truth.changes.iter().flat_map(|c| &c.people).collect();
    assert!(everybody.len() > 1, "{everybody:?}");
    for who in everybody {
        let (name, _) = who.split_once(" <").unwrap();
        for asked in [who.as_str(), name] {
            let page = world.page(&format!("{ALL}&committer={}", encoded(asked)));
            let (least, most) =
                (world.some(|b| b.people.contains(who)), world.some(|b| b.most.contains(who)));
            let shown = page.keys();
            assert!(least.is_subset(&shown) && shown.is_subset(&most), "{asked}: {shown:?}");
            assert_eq!(page.changes, world.changes(|c| c.people.contains(who)), "{asked}");
        }
    }
    let tried = "Amara Okafor <amara@kestrel.example.org>".to_owned();
    let page = world.page(&format!("{ALL}&builder=try&committer={}", encoded(&tried)));
    assert_eq!(page.keys(), world.some(|b| b.builder == "try" && b.people.contains(&tried)));
}

fn p02_project_chooses_builds_and_leaves_the_changes(world: &World) {
    let all: BTreeSet<u64> = world.truth.changes.iter().map(|c| c.id).collect();
    for project in ["kestrel", "tidelib"] {
        let page = world.page(&format!("{ALL}&project={project}"));
        assert_eq!(page.keys(), world.some(|b| b.projects.contains(project)), "{project}");
        assert_eq!(page.changes, all, "{project}");
    }
}

fn p02_show_events_tells_of_a_worker_that_went_and_came(world: &World) {
    let has = |page: &Page, event: &str| page.events.iter().any(|e| e == event);
    for query in ["", "&show_events=true"] {
        let page = world.page(&format!("{ALL}{query}"));
        assert!(
            has(&page, "birch disconnected") && has(&page, "birch connected"),
            "{:?}",
            page.events
        );
        assert!(!page.events.iter().any(|e| e.starts_with("cedar-mac")), "it never came");
    }
    let hidden = world.page(&format!("{ALL}&show_events=false"));
    assert_eq!(hidden.events, [""; 0]);
    assert_eq!(hidden.builds.len(), world.truth.builds.len(), "builds are no such events");
    // The builder has another worker.
    let other = world.page(&format!("{ALL}&builder=macos-arm64"));
    assert!(!has(&other, "birch connected"), "{:?}", other.events);
}

fn p02_failures_only_chooses_builders_that_fail_or_are_offline(world: &World) {
    let failing = world.builders(|builder| {
        let its = world.truth.builds.iter().filter(|b| b.builder == builder.name);
        let last = its.max_by_key(|b| b.number);
        !builder.online || last.is_some_and(|b| b.results != 0)
    });
    assert!(failing.contains(&"macos-arm64".to_owned()), "its worker is away: {failing:?}");
    let page = world.page(&format!("{ALL}&failures_only=true"));
    assert_eq!(sorted(page.columns.clone()), failing);
    assert_eq!(page.keys(), world.some(|b| failing.contains(&b.builder)));
    let all = world.page(&format!("{ALL}&failures_only=false"));
    assert_eq!(all.columns.len(), world.truth.builders.len());
}

fn p02_last_time_shows_what_had_ended_by_then(world: &World) {
    let edge = world.middle();
    let page = world.page(&format!("{ALL}&last_time={edge}"));
    assert_eq!(page.keys(), world.some(|b| b.end <= edge));
    let changes: BTreeSet<u64> =
        world.truth.changes.iter().filter(|c| c.when <= edge).map(|c| c.id).collect();
    assert_eq!(page.changes, changes);
    let date = world.page(&format!("{ALL}&last_time={}", encoded("2020-01-01 12:00")));
    assert!(date.builds.is_empty(), "nothing was built then");
}

fn p02_first_time_shows_what_ended_after_it(world: &World) {
    let edge = world.middle();
    let page = world.page(&format!("num_events=100000&first_time={edge}"));
    assert_eq!(page.keys(), world.some(|b| b.end > edge));
}

fn p02_show_time_reaches_back_from_last_time_and_wins_over_first_time(world: &World) {
    let (top, back) = (world.middle(), 5 * 3600);
    let query = format!("num_events=100000&last_time={top}&show_time={back}&first_time=0");
    let page = world.page(&query);
    assert_eq!(page.keys(), world.some(|b| b.end <= top && b.end > top - back));
}

fn p02_num_events_bounds_the_rows_and_keeps_the_newest(world: &World) {
    let mut before = 0;
    for rows in [10, 30, 90] {
        let page = world.page(&format!("num_events={rows}&show_events=false"));
        assert!(page.rows <= rows && page.rows > before, "{} of {rows}", page.rows);
        before = page.rows;
        let minute = |b: &&Build| (b.end + 59) / 60;
        let (shown, left): (Vec<&Build>, Vec<&Build>) =
            world.truth.builds.iter().partition(|b| page.builds.contains_key(&b.key()));
        assert!(left.iter().map(minute).max() < shown.iter().map(minute).min(), "{rows}");
    }
}

fn p02_num_events_follows_the_manifest_up_to_the_most(world: &World) {
    let rows = |query: &str| {
        Page::read(world.get(world.narrow, &format!("waterfall?show_events=false{query}"))).rows
    };
    let (usual, fewer, most) = (rows(""), rows("&num_events=10"), rows("&num_events=9999"));
    assert!(fewer <= 10 && fewer < usual && usual <= 20, "{fewer} {usual}");
    assert!(usual < most && most <= 40, "{usual} {most}");
}

fn p02_older_pages_show_every_build_once(world: &World) {
    let mut seen = BTreeSet::new();
    let mut path = "waterfall?num_events=25&show_events=false".to_owned();
    loop {
        let page = Page::read(world.get(world.port, &path));
        for key in page.keys() {
            assert!(seen.insert(key.clone()), "{key:?} stands on two pages");
        }
        let Some(older) = page.older else { break };
        assert!(older.contains("num_events=25") && older != path, "{older}");
        path = older.trim_start_matches("./").to_owned();
    }
    assert_eq!(seen, world.truth.builds.iter().map(Build::key).collect());
}

fn p02_reload_is_kept_by_the_browser_until_it_is_stopped(world: &World) {
    for (asked, kept) in [("60", "60"), ("1", "15")] {
        let page = world.page(&format!("builder=docs&reload={asked}"));
        assert!(page.html.contains(&format!("<meta http-equiv=refresh content=\"{kept}\">")));
        assert!(page.html.contains("href=\"./waterfall?builder=docs\">Stop reloading</a>"));
    }
    let page = world.page("builder=docs&reload=none");
    assert!(!page.html.contains("http-equiv=refresh"));
}

fn p02_view_compact_shows_the_same_builds_without_steps(world: &World) {
    let page = world.page(&format!("{ALL}&view=compact"));
    assert_eq!(page.builds.len(), world.truth.builds.len());
    assert!(page.steps.is_empty());
}

fn p02_arguments_narrow_together(world: &World) {
    let edge = world.middle();
    let query = format!("{ALL}&category=unit&branch=main&project=kestrel&last_time={edge}");
    let unit = world.builders(|b| b.tags.iter().any(|t| t == "unit"));
    let expected = world.some(|b| {
        unit.contains(&b.builder)
            && b.branches.contains(&Some("main".to_owned()))
            && b.projects.contains("kestrel")
            && b.end <= edge
    });
    assert_eq!(world.page(&query).keys(), expected);
}

fn p02_help_offers_the_masters_builders_and_categories(world: &World) {
    let path = "waterfall/help?builder=docs&branch=feature%2Fio-uring&reload=300";
    let html = world.get(world.port, path);
    for builder in &world.truth.builders {
        let name = &builder.name;
        let ticked = if name == "docs" { " checked" } else { "" };
        let html = html.replace("&#x2f;", "/");
        assert!(
            html.contains(&format!("name=builder value=\"{name}\"{ticked}>")),
            "{name}\n{html}"
        );
        for tag in &builder.tags {
            assert!(html.contains(&format!("name=category value=\"{tag}\">")), "{tag}");
        }
    }
    assert!(html.contains("name=branch value=\"feature/io-uring\""), "{html}");
    assert!(html.contains("name=reload value=\"300\" checked"));
}
