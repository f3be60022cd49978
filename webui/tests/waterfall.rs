//! The waterfall: its arguments, its layout, its HTML, and how it is served (P02, W01, W07).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use axum::{body::Body, http::Request};
use model::{Event, Outcome, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;
use tower::ServiceExt;
use webui::{
    Ask, Query, Site,
    server::{App, router},
    testing::{self, NOW, build, builder, change, record, running, worker},
    view::{Shared, View},
    waterfall::{
        self,
        layout::{Column, Input, Row, Rows, layout},
    },
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

/// The rows as a picture: one character a cell, for snapshots and for checks.
fn grid(rows: &Rows, columns: usize) -> Vec<Vec<Option<String>>> {
    let mut grid: Vec<Vec<Option<String>>> = Vec::new();
    for body in &rows.bodies {
        // What spans on from the rows above: times, changes, then builders.
        let mut open: Vec<(usize, String)> = vec![(0, String::new()); columns + 2];
        for row in &body.rows {
            let mut place = |at: usize, rows: usize, what: String| {
                assert_eq!(open[at].0, 0, "cells overlap in column {at}");
                assert!(rows > 0);
                open[at] = (rows, what);
            };
            let cells = match row {
                Row::Quiet { .. } => {
                    (0..columns + 2).for_each(|at| place(at, 1, "~".into()));
                    &[][..]
                }
                Row::Day { cells, .. } => {
                    place(0, 1, "=".into());
                    place(1, 1, "=".into());
                    cells
                }
                Row::Span { time, changes, cells, .. } => {
                    if let Some(time) = time {
                        place(0, time.rows, "|".into());
                    }
                    if let Some(cell) = changes {
                        place(1, cell.rows, cell.changes.len().to_string());
                    }
                    cells
                }
            };
            for cell in cells {
                let build = cell.build.as_ref().map_or(".".into(), |b| b.number.to_string());
                place(cell.column + 2, cell.rows, build);
            }
            let line = open
                .iter_mut()
                .map(|(left, what)| {
                    assert!(*left > 0, "a hole");
                    *left -= 1;
                    Some(what.clone())
                })
                .collect();
            grid.push(line);
        }
        assert!(open.iter().all(|(left, _)| *left == 0), "a cell crosses the end of a body");
    }
    grid
}

fn picture(rows: &Rows, columns: usize) -> String {
    let line = |line: &Vec<Option<String>>| {
        let cells: Vec<&str> = line.iter().map(|c| c.as_deref().unwrap_or(" ")).collect();
        cells.join("\t")
    };
    grid(rows, columns).iter().map(line).collect::<Vec<_>>().join("\n")
}

fn rows(builds: Vec<Vec<model::Build>>, limit: usize) -> Rows {
    let builders: Vec<_> = (1..=builds.len() as u64).map(|n| builder(n, None, &[])).collect();
    let view = testing::view(builders, builds.into_iter().flatten().collect(), vec![]);
    let columns = view
        .builders()
        .map(|b| Column { builds: b.builds().cloned().collect(), events: vec![] })
        .collect();
    layout(&Input { top: NOW, since: Timestamp(0), rows: limit, columns, changes: vec![] })
}

#[test]
fn the_layout_of_two_builders_over_a_quiet_night() {
    let rows = rows(
        vec![
            vec![build(1, 1, 16 * 60, 10, Outcome::Success), build(1, 2, 30, 20, Outcome::Failure)],
            vec![build(2, 7, 25, 5, Outcome::Success), running(2, 8, 12)],
        ],
        100,
    );
    insta::assert_snapshot!(picture(&rows, 2));
}

#[test]
fn builds_of_one_builder_at_the_same_time_stand_below_each_other() {
    let rows = rows(
        vec![vec![
            build(1, 1, 60, 50, Outcome::Success),
            build(1, 2, 50, 10, Outcome::Success),
            build(1, 3, 50, 45, Outcome::Success),
        ]],
        100,
    );
    let grid = grid(&rows, 1);
    let mut order: Vec<String> = grid.iter().filter_map(|line| line[2].clone()).collect();
    order.retain(|c| c != "." && c != "~");
    order.dedup();
    assert_eq!(order, ["3", "2", "1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn rowspans_tile_the_grid_and_builds_keep_their_order(
        builds in prop::collection::vec(
            prop::collection::vec((0_i64..4000, 0_i64..400), 0..25), 1..5),
        limit in 1_usize..120,
        changes in prop::collection::vec(0_i64..4000, 0..20),
        events in prop::collection::vec(0_i64..4000, 0..10),
    ) {
        let count = builds.len();
        let builders: Vec<_> = (1..=count as u64).map(|n| builder(n, None, &[])).collect();
        let mut all = Vec::new();
        for (column, builds) in builds.iter().enumerate() {
            let mut builds = builds.clone();
            builds.sort_by_key(|b| std::cmp::Reverse(b.0));
            for (number, (ago, minutes)) in builds.into_iter().enumerate() {
                let (of, number) = (column as u64 + 1, number as u64 + 1);
                all.push(build(of, number, ago, minutes.min(ago), Outcome::Success));
            }
        }
        let view = testing::view(builders, all, vec![]);
        let event = |ago: &i64| (Timestamp(NOW.0 - ago * 60), Arc::from("event"));
        let columns: Vec<Column> = view.builders().map(|b| Column {
            builds: b.builds().cloned().collect(),
            events: events.iter().map(event).collect(),
        }).collect();
        let changes = changes.iter().enumerate();
        let input = Input {
            top: NOW,
            since: Timestamp(0),
            rows: limit,
            columns,
            changes: changes.map(|(n, ago)| Arc::new(change(n as u64, *ago, "Ann"))).collect(),
        };
        let rows = layout(&input);
        let grid = grid(&rows, count);
        for column in 2..count + 2 {
            let mut numbers: Vec<u64> =
                grid.iter().filter_map(|line| line[column].as_ref()?.parse().ok()).collect();
            numbers.dedup();
            let mut sorted = numbers.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            sorted.dedup();
            prop_assert_eq!(numbers, sorted, "newest first, each in one piece");
        }
    }
}

async fn get(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> axum::response::Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    // A router of its own each time would forget what it keeps ready; the tag must not need that.
    router(app.clone()).oneshot(request).await.unwrap()
}

fn app() -> Arc<App> {
    let view = Shared::new(testing::site(4, 30, 5, Timestamp::now()));
    Arc::new(App { view, site: site(serde_json::json!({})), feed: None, logs: None })
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again_and_a_changed_one_is() {
    let app = app();
    let router = router(app.clone());
    let ask = |tag: Option<String>| {
        let mut request = Request::get("/waterfall").header("accept-encoding", "gzip");
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let first = ask(None).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["content-encoding"], "gzip");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let whole = axum::body::to_bytes(first.into_body(), usize::MAX).await.unwrap();
    let mut html = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&whole[..]), &mut html)
        .unwrap();
    assert!(html.contains("<tbody id=live>") && html.trim_end().ends_with("</footer>"), "{html}");
    app.view.update(|view| {
        view.apply(&record(99, 0, Event::WorkerConnected { worker: worker(9, &[1]) }));
    });
    assert_eq!(ask(Some(tag)).await.unwrap().status(), 200, "it changed");
    // The clock may step between two requests, so one of a few tries must be unchanged.
    let mut unchanged = false;
    for _ in 0..3 {
        let tag = ask(None).await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
        unchanged |= ask(Some(tag)).await.unwrap().status() == 304;
    }
    assert!(unchanged);
}

#[tokio::test]
async fn pages_carry_a_policy_that_lets_nothing_foreign_in() {
    let app = app();
    for path in ["/waterfall", "/waterfall/help", "/style.css", "/waterfall?num_events=x"] {
        let response = get(&app, path, &[]).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
    let html = get(&app, "/waterfall", &[]).await;
    let html = axum::body::to_bytes(html.into_body(), usize::MAX).await.unwrap();
    let html = String::from_utf8(html.to_vec()).unwrap();
    assert!(!html.contains(" style=") && !html.contains("<style") && !html.contains(" onclick"));
}

#[tokio::test]
async fn updates_bring_a_page_up_to_date_and_end_when_nobody_reads() {
    use tokio_stream::StreamExt;
    let app = app();
    let response = get(&app, "/live/waterfall?since=0", &[]).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("event: body") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(text.contains("event: head\ndata: <tr>"), "{text}");
    assert_eq!(get(&app, "/live/waterfall?since=x", &[]).await.status(), 400);
}

#[tokio::test]
async fn w01_listens_on_an_interface_and_on_a_unix_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("www.sock");
    let cancel = tokio_util::sync::CancellationToken::new();
    for listen in
        ["tcp:0:interface=127.0.0.1".to_owned(), format!("unix:{}:mode=600", path.display())]
    {
        let listening = webui::listen::bind(&listen.parse().unwrap()).await.unwrap();
        let address = listening.address();
        let server = tokio::spawn(listening.serve(router(app()), cancel.child_token()));
        let ask = b"GET /style.css HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let mut answer = Vec::new();
        if let Some(address) = address.strip_prefix("http://") {
            let address = address.trim_end_matches('/');
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(ask).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        } else {
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &std::fs::metadata(&path).unwrap().permissions(),
            );
            assert_eq!(mode & 0o777, 0o600);
            let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            stream.write_all(ask).await.unwrap();
            stream.read_to_end(&mut answer).await.unwrap();
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
        drop(server);
    }
    cancel.cancel();
    let taken = webui::listen::bind(&"tcp:0:interface=127.0.0.1".parse().unwrap()).await.unwrap();
    let port = taken.address().rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let again = format!("tcp:{port}:interface=127.0.0.1");
    let error = webui::listen::bind(&again.parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {again}")), "{error}");
}
