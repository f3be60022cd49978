//! The waterfall: its arguments, its layout, its HTML, and how it is served (P02, W01, W07).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod layout;
mod older;
mod served;

use model::{Event, Outcome};
use webui::{
    Ask, Query, Site,
    testing::{self, NOW, build, builder, change, record, running, worker},
    view::View,
    waterfall,
};

#[allow(clippy::needless_pass_by_value, reason = "callers write the value in place")]
fn site(more: serde_json::Value) -> Site {
    let mut spec = serde_json::json!({ "masterRef": { "name": "m" } });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Site::new(serde_json::from_value(spec).unwrap()).unwrap()
}

fn with<T>(view: &View, site: &Site, query: &str, ask: impl FnOnce(&Ask<'_>) -> T) -> T {
    let query = Query::parse(query);
    let (root, path) = ("./", "waterfall");
    ask(&Ask { view, site, query: &query, root, path, theme: None, now: NOW })
}

fn page(view: &View, query: &str) -> String {
    let site = site(serde_json::json!({}));
    with(view, &site, query, |ask| waterfall::page(ask).unwrap().html())
}

fn rows_of(html: &str) -> &str {
    &html[html.find("<tbody").unwrap()..]
}

/// Three builders; `b3` fails, `b1` runs; workers' events.
fn fixture() -> View {
    let mut feature = build(2, 5, 30, 5, Outcome::Success);
    feature.buildset.source_stamps[0].branch = Some("feature/x".into());
    feature.buildset.source_stamps[0].project = "lib".into();
    feature.changes = vec![change(2, 31, "Bo <bo@example.org>")];
    let mut old = build(2, 4, 60 * 30, 5, Outcome::Success);
    old.buildset.source_stamps[0].branch = Some("feature/x".into());
    let builds = vec![
        build(1, 8, 60, 10, Outcome::Success),
        running(1, 9, 7),
        old,
        feature,
        build(3, 2, 90, 9, Outcome::Failure),
    ];
    let builders =
        vec![builder(1, None, &["unit"]), builder(2, None, &["docs"]), builder(3, None, &["unit"])];
    let mut other = change(2, 31, "Bo <bo@example.org>");
    other.branch = Some("feature/x".into());
    let mut view = testing::view(builders, builds, vec![change(1, 62, "Ann"), other]);
    view.apply(&record(1, 45, Event::WorkerConnected { worker: worker(7, &[3]) }));
    view
}

#[test]
fn p02_shows_builders_builds_steps_logs_and_changes_with_their_links() {
    let html = page(&fixture(), "");
    for link in [
        "href=\"builders/b1/builds/8\"",
        "href=\"builders/b1/builds/8/steps/compile\"",
        "href=\"builders/b1/builds/8/steps/compile/logs/stdio\"",
        "href=\"changes/1\"",
        "href=\"./builders/b3\"",
    ] {
        assert!(html.contains(link) || html.contains(&link.replace("./", "")), "{link}\n{html}");
    }
    assert!(html.contains("building, ~3 min"), "{html}");
    assert!(html.contains("<div class=\"b f\">") && html.contains("<div class=\"b y\">"));
}

#[test]
fn p02_builder_and_its_old_name_show_choose_columns() {
    let both = page(&fixture(), "builder=b1&show=b2");
    assert!(both.contains("builders/b1/builds/8") && both.contains("builders/b2/builds/5"));
    assert!(!both.contains("builders/b3/builds/2"));
    let none = page(&fixture(), "builder=nosuch");
    assert!(none.contains("No builder is selected"));
}

#[test]
fn p02_category_chooses_builders() {
    let html = page(&fixture(), "category=docs");
    assert!(html.contains("builders/b2/builds/5") && !html.contains("builders/b1/builds"));
}

#[test]
fn p02_branch_chooses_builds_and_changes_of_the_last_day_and_trunk_means_none() {
    let html = page(&fixture(), "branch=feature%2Fx");
    assert!(html.contains("builders/b2/builds/5") && html.contains("changes/2\""));
    assert!(!html.contains("steps/compile\">compile</a><a href=\"builders/b1"));
    assert!(!rows_of(&html).contains("builders/b1/builds") && !html.contains("changes/1\""));
    assert!(!rows_of(&html).contains("builders/b2/builds/4"), "30 hours ago");
    assert!(rows_of(&page(&fixture(), "branch=feature%2Fx&first_time=0")).contains("b2/builds/4"));
    let html = page(&fixture(), "branch=trunk");
    assert!(rows_of(&html).contains("b1/builds/8") && !rows_of(&html).contains("b2/builds"));
}

#[test]
fn p02_committer_chooses_builds_and_changes_by_name_or_whole() {
    for who in ["Bo", "Bo%20%3Cbo%40example.org%3E"] {
        let html = page(&fixture(), &format!("committer={who}"));
        assert!(rows_of(&html).contains("b2/builds/5"), "{who}");
        assert!(!rows_of(&html).contains("b1/builds") && !rows_of(&html).contains("changes/1\""));
    }
}

#[test]
fn p02_project_chooses_builds_and_leaves_the_changes() {
    let html = page(&fixture(), "project=lib");
    assert!(rows_of(&html).contains("b2/builds/5") && !rows_of(&html).contains("b1/builds"));
    assert!(rows_of(&html).contains("changes/1\""));
}

#[test]
fn p02_show_events_is_on_unless_told_otherwise() {
    assert!(rows_of(&page(&fixture(), "")).contains("<div class=ev>w7 connected</div>"));
    assert!(!rows_of(&page(&fixture(), "show_events=false")).contains("class=ev"));
}

#[test]
fn p02_failures_only_means_failed_last_or_a_failing_step_or_offline() {
    let mut fails = running(1, 9, 7);
    fails.steps[1].outcome = Some(Outcome::Failure);
    let builders = (1..=4).map(|n| builder(n, None, &[])).collect();
    let builds = vec![
        build(1, 8, 60, 10, Outcome::Success),
        fails,
        build(2, 1, 60, 10, Outcome::Success),
        build(3, 1, 60, 10, Outcome::Warnings),
        build(4, 1, 60, 10, Outcome::Success),
    ];
    let mut view = testing::view(builders, builds, vec![]);
    view.apply(&record(1, 1, Event::WorkerConnected { worker: worker(1, &[1, 2, 3]) }));
    let html = page(&view, "failures_only=true");
    let rows = rows_of(&html);
    assert!(rows.contains("builders/b1/"), "a step fails");
    assert!(!rows.contains("builders/b2/"), "passes");
    assert!(rows.contains("builders/b3/"), "not successful");
    assert!(rows.contains("builders/b4/"), "offline");
}

#[test]
fn p02_last_time_first_time_and_show_time_choose_the_time() {
    let at = |ago: i64| NOW.0 - ago * 60;
    let rows = |query: String| rows_of(&page(&fixture(), &query)).to_owned();
    let html = rows(format!("last_time={}", at(50)));
    assert!(html.contains("b1/builds/8") && !html.contains("b2/builds/5") && !html.contains("b y"));
    let html = rows(format!("first_time={}", at(40)));
    assert!(html.contains("b2/builds/5") && !html.contains("b1/builds/8"));
    let html = rows(format!("show_time=600&last_time={}&first_time=0", at(80)));
    assert!(html.contains("b3/builds/2") && !html.contains("b2/builds/4"), "show_time wins");
    assert!(rows("last_time=2026-11-23 14:22".into()).contains("b1/builds/8"));
}

#[test]
fn p02_a_build_that_ended_early_does_not_hide_one_before_it_that_runs_or_ended_later() {
    let builds = vec![
        running(1, 1, 300),
        build(1, 2, 280, 265, Outcome::Failure),
        build(1, 3, 250, 10, Outcome::Success),
    ];
    let view = testing::view(vec![builder(1, None, &[])], builds, vec![]);
    let html = page(&view, "show_time=3600");
    let rows = rows_of(&html);
    assert!(rows.contains("b1/builds/1\"") && rows.contains("b1/builds/2\""), "{rows}");
    assert!(!rows.contains("b1/builds/3\""), "it ended four hours ago");
}

#[test]
fn p01_a_builders_last_build_is_kept_however_many_others_build_after_it() {
    let mut view = View::new(
        feed::Snapshot::default(),
        master::MasterState::default(),
        webui::view::Limits { builds: 20, ..Default::default() },
    );
    for number in 1..=3 {
        let outcome = if number == 3 { Outcome::Failure } else { Outcome::Success };
        let build = Box::new(build(1, number, 9000 - number as i64, 1, outcome));
        view.apply(&record(number, 0, Event::BuildFinished { build }));
    }
    for number in 1..=100 {
        let build = Box::new(build(2, number, 300 - 2 * number as i64, 1, Outcome::Success));
        view.apply(&record(3 + number, 0, Event::BuildFinished { build }));
    }
    let weekly = view.builder("b1").unwrap();
    assert!(weekly.is_failing() && weekly.builds().count() == 1);
    assert_eq!(view.builds().count(), 20, "memory stays bounded");
    let busy = view.builder("b2").unwrap();
    assert_eq!(busy.builds().last().unwrap().number, 82);
    // What lies between the weekly build and the others is not known.
    assert!(view.horizon().unwrap() >= busy.builds().last().unwrap().started_at);
}

#[test]
fn p02_num_events_is_capped_and_older_pages_show_every_build_once() {
    let view = testing::site(6, 60, 4, NOW);
    let site = site(serde_json::json!({ "numEvents": 60, "numEventsMax": 90 }));
    let rows = |query: &str| with(&view, &site, query, |ask| waterfall::page(ask).unwrap().html());
    let count =
        |html: &str| html.matches("<tr class=t").count() + html.matches("<tr class=\"t").count();
    assert!(count(&rows("")) <= 60);
    assert!(count(&rows("num_events=5000")) <= 90 && count(&rows("num_events=5000")) > 60);
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let mut query = String::from("category=unit");
    for _ in 0..200 {
        let html = rows(&query);
        for build in
            rows_of(&html).split("<div class=").skip(1).filter(|b| b.starts_with(['b', '"']))
        {
            let Some((_, rest)) = build.split_once("href=\"") else { continue };
            if build.starts_with("b>") || build.starts_with("\"b ") {
                *seen.entry(rest.split('"').next().unwrap().to_owned()).or_default() += 1;
            }
        }
        let Some(at) = html.find("rel=next href=\"./waterfall?") else { break };
        let next = &html[at + "rel=next href=\"./waterfall?".len()..];
        query = next.split('"').next().unwrap().replace("&amp;", "&");
        assert!(query.starts_with("category=unit&last_time="), "{query}");
    }
    assert!(seen.values().all(|n| *n == 1), "{seen:?}");
    let all: usize =
        view.builders().filter(|b| b.builder.tags == ["unit"]).map(|b| b.builds().count()).sum();
    assert_eq!(seen.len(), all);
}

#[test]
fn w07_num_events_is_a_setting_that_the_address_overrides_up_to_the_most() {
    let view = testing::site(6, 60, 4, NOW);
    let rows = |more: serde_json::Value, query: &str| {
        let site = site(more);
        let html = with(&view, &site, query, |ask| waterfall::page(ask).unwrap().html());
        html.matches("<tr class=t").count() + html.matches("<tr class=\"t").count()
    };
    let usual = rows(serde_json::json!({}), "");
    assert!(usual > 60 && usual <= 200, "{usual}");
    let set = || serde_json::json!({ "numEvents": 30, "numEventsMax": 60 });
    let (few, asked, most) =
        (rows(set(), ""), rows(set(), "num_events=45"), rows(set(), "num_events=9999"));
    assert!(few <= 30 && few < asked && asked <= 45 && asked < most && most <= 60);
    assert!(rows(serde_json::json!({}), "num_events=9999") > 200, "no most unless it is set");
}

#[test]
fn p02_reload_is_at_least_15_seconds_and_can_be_stopped() {
    let html = page(&fixture(), "reload=3&branch=trunk");
    assert!(html.contains("<meta http-equiv=refresh content=\"15\">"));
    assert!(html.contains("href=\"./waterfall?branch=trunk\">Stop reloading</a>"));
    assert!(!page(&fixture(), "reload=none").contains("http-equiv=refresh"));
}

#[test]
fn p02_help_is_a_form_that_keeps_the_query() {
    let (view, site) = (fixture(), site(serde_json::json!({})));
    let query = "builder=b1&branch=x&reload=77&show_events=false&mine=%22%3E";
    let html = with(&view, &site, query, |ask| waterfall::help(ask).unwrap().0);
    assert!(html.contains("value=\"b1\" checked"), "{html}");
    assert!(html.contains("name=branch value=\"x\""));
    assert!(html.contains("name=reload value=\"77\" checked"));
    assert!(html.contains("name=show_events value=\"false\" checked"));
    assert!(html.contains("name=\"mine\" value=\"&quot;&gt;\""));
}

#[test]
fn p02_a_bad_value_is_named_and_never_an_error_of_the_server() {
    let (view, site) = (fixture(), site(serde_json::json!({})));
    for query in [
        "num_events=many",
        "num_events=0",
        "num_events=-1",
        "last_time=yesterday",
        "last_time=99999999999999999999",
        "first_time=-5",
        "show_time=0",
        "show_events=perhaps",
        "failures_only=2",
        "reload=x",
        "view=3d",
    ] {
        let error = with(&view, &site, query, |ask| waterfall::page(ask).unwrap_err());
        assert_eq!(error.status, 400, "{query}");
        assert!(error.text.starts_with(query), "{query}: {}", error.text);
    }
}

#[test]
fn names_with_slashes_quotes_html_and_emoji_are_escaped_and_one_segment() {
    let name = "unit win/32 \"<b>\" 🦀?#%";
    let mut nasty = build(1, 1, 20, 5, Outcome::Failure);
    nasty.steps[2].name = "a/b \"'<script>".into();
    nasty.steps[2].text = "<script>alert(1)</script>\r\n".into();
    nasty.steps[2].logs[0].name = "../x<y>".into();
    nasty.steps[2].urls =
        vec![model::StepUrl { name: "x".into(), url: "javascript:alert(1)".into() }];
    let mut evil = change(1, 30, "<img src=x onerror=alert(1)> <a@b>");
    evil.comments = "</td></table><script>".into();
    let view = testing::view(vec![builder(1, Some(name), &["<i>"])], vec![nasty], vec![evil]);
    let html = page(&view, "builder=unit%20win%2F32%20%22%3Cb%3E%22%20%F0%9F%A6%80%3F%23%25");
    assert!(!html.contains("<script>") && !html.contains("<img") && !html.contains("<b>\""));
    assert!(!html.contains("javascript:") && !html.contains("<i>\""));
    let url = "builders/unit%20win%2F32%20%22%3Cb%3E%22%20%F0%9F%A6%80%3F%23%25/builds/1";
    assert!(html.contains(url), "{html}");
    assert!(html.contains("/steps/a%2Fb%20%22%27%3Cscript%3E/logs/..%2Fx%3Cy%3E"), "{html}");
}
