//! Every page of the small world over HTTP: rows P01 and P08 to P20, W03, W06 to W08, C02.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod builds;
#[path = "../fixture/mod.rs"]
mod fixture;
mod logs;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use fixture::NASTY;
use model::segment;
use regex::Regex;
use std::sync::Arc;
use tower::ServiceExt;
use webui::{
    Site,
    server::{App, router},
};

fn site(more: &serde_json::Value) -> Site {
    let mut spec = serde_json::json!({"masterRef": {"name": "m"}});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    Site::new(serde_json::from_value(spec).unwrap()).unwrap()
}

fn app() -> Arc<App> {
    fixture::app(site(&serde_json::json!({})))
}

async fn ask(app: &Arc<App>, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(app.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn page(path: &str) -> String {
    let (status, _, body) = ask(&app(), path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

async fn refused(path: &str, status: u16, words: &[&str]) {
    let (got, _, body) = ask(&app(), path).await;
    assert_eq!(got.as_u16(), status, "{path}: {body}");
    for word in words {
        assert!(body.contains(word), "{path} lacks {word}: {body}");
    }
    assert!(body.contains("</footer>"), "{path} is no page");
}

/// The numbers of the builds that a page's list links to, in their order.
fn builds(html: &str, builder: &str) -> Vec<u64> {
    let link = format!(
        "href=\"[./]*builders/{}/builds/(\\d+)\"",
        regex::escape(&segment(builder).to_string())
    );
    let mut numbers: Vec<u64> =
        Regex::new(&link).unwrap().captures_iter(html).map(|c| c[1].parse().unwrap()).collect();
    numbers.dedup();
    numbers
}

#[tokio::test]
async fn p01_the_welcome_page_leads_to_all_others_and_says_who_must_act() {
    let html = page("/").await;
    for to in [
        "waterfall",
        "waterfall/help",
        "builders",
        "one_line_per_build",
        "changes",
        "buildslaves",
        "about",
    ] {
        assert!(html.contains(&format!("href=\"./{to}\"")), "{to}");
    }
    assert!(html.contains("2 of 7 builders are failing"), "{html}");
    assert!(html.contains("href=\"./builders/unit%20win%2F32/builds/26/steps/test/logs/stdio\""));
    assert!(html.contains("3 in a row") && html.contains("2 running, 2 pending"));
}

#[tokio::test]
async fn p01_the_welcome_page_is_the_template_root_html() {
    let app = fixture::app(site(
        &serde_json::json!({"templates": {"root.html": "own <{{ builders|length }}>"}}),
    ));
    assert_eq!(ask(&app, "/").await.2, "own <7>");
}

#[tokio::test]
async fn p08_one_builds_steps_stand_in_time_newest_first_without_a_frame() {
    let html = page("/buildstatus?builder=unit+win%2F32&number=26").await;
    let at = |word: &str| html.find(word).unwrap_or_else(|| panic!("no {word}"));
    assert!(at(">test failed (1)<") < at(">compile<") && at(">compile<") < at(">git<"));
    assert!(at(">git<") < at("Build 26") && !html.contains("<nav"));
    assert!(page("/buildstatus?builder=docs&number=-1").await.contains("Build 27"), "the last one");
    refused("/buildstatus?number=1", 400, &["builder= is missing"]).await;
    refused("/buildstatus?builder=docs", 400, &["number= is missing"]).await;
    refused("/buildstatus?builder=nosuch&number=1", 404, &["nosuch"]).await;
    refused("/buildstatus?builder=docs&number=900", 404, &["no build 900"]).await;
    refused("/buildstatus?builder=docs&number=x", 404, &["“x” is no number"]).await;
}

#[tokio::test]
async fn p09_each_builder_has_its_last_build_and_arguments_narrow_them() {
    let html = page("/builders").await;
    assert_eq!(builds(&html, "unit win/32"), [26]);
    assert_eq!(builds(&html, "docs"), [26], "running builds are not the last one");
    let html = page("/builders?builder=docs&builder=try").await;
    assert_eq!((builds(&html, "docs"), builds(&html, "deploy")), (vec![26], vec![]));
    let html = page("/builders?category=release").await;
    assert_eq!((builds(&html, "deploy"), builds(&html, "docs")), (vec![26], vec![]));
    // Every fourth build of the world is of no branch.
    assert_eq!(builds(&page("/builders?branch=trunk&builder=docs").await, "docs"), [24]);
    assert_eq!(builds(&page("/builders?branch=master&builder=docs").await, "docs"), [26]);
    assert_eq!(builds(&page("/builders?branch=none").await, "docs"), [] as [u64; 0]);
    assert!(page("/builders?builder=%3Ci%3E").await.contains("no builder named “&lt;i&gt;”"));
}

#[tokio::test]
async fn p15_changes_and_one_change_with_its_builds() {
    let html = page("/changes").await;
    assert_eq!(html.matches("<tr><th scope=row>").count(), 50);
    assert!(html.contains("?numchanges=100"));
    let html = page("/changes/50").await;
    assert!(
        html.contains("The check came after the open") && html.contains("src/log/pager.c"),
        "{html}"
    );
    assert!(html.contains("builds/25\""));
    refused("/changes/999", 404, &["no change “999”"]).await;
    refused("/changes/x", 404, &["no change “x”"]).await;
    refused("/changes?numchanges=0", 400, &["numchanges=0"]).await;
}

#[tokio::test]
async fn p16_workers_and_one_worker_under_both_names() {
    for path in ["/buildslaves", "/workers"] {
        let html = page(path).await;
        assert!(html.contains("not connected") && html.contains("disk &lt;full&gt;"), "{html}");
        assert!(html.contains("builders/unit-linux"));
        assert!(!page(&format!("{path}?no_builders=1")).await.contains("builders/unit-linux\""));
    }
    assert!(page("/workers/w1").await.contains("a &lt;big&gt; machine"));
    assert!(page(&format!("/buildslaves/{}", segment(NASTY))).await.contains("paused"));
    refused("/buildslaves/nosuch", 404, &["no worker named “nosuch”"]).await;
    refused("/buildslaves?no_builders=maybe", 400, &["no_builders=maybe"]).await;
}

#[tokio::test]
async fn p17_recent_builds_are_ordered_by_their_end() {
    let html = page("/one_line_per_build").await;
    assert_eq!(html.matches("<tr class=\"rl ").count(), 20);
    assert_eq!(
        page("/one_line_per_build?numbuilds=3&builder=docs")
            .await
            .matches("<tr class=\"rl ")
            .count(),
        3
    );
    assert_eq!(
        builds(&page("/one_line_per_build?numbuilds=3&builder=docs&branch=trunk").await, "docs"),
        [24, 20, 16]
    );
    refused("/one_line_per_build?numbuilds=x", 400, &["numbuilds=x"]).await;
}

#[tokio::test]
async fn p20_about_tells_versions_and_the_meaning_of_the_marks() {
    let html = page("/about").await;
    for words in [
        "Buildbot Status Operator",
        "Buildbot 4.3.0",
        "https://buildbot.net/",
        "exception",
        "every step passed",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

#[tokio::test]
async fn w06_categories_of_the_settings_hide_other_builders_everywhere() {
    let app = fixture::app(site(&serde_json::json!({"categories": ["docs"]})));
    for path in [
        "/",
        "/builders",
        "/one_line_per_build",
        "/workers",
        "/changes/50",
        "/workers/w1",
        "/waterfall",
        "/waterfall/help",
    ] {
        let (status, _, html) = ask(&app, path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!html.contains("deploy") && !html.contains("unit-linux"), "{path}");
        assert!(!html.contains("windows") && !html.contains("value=\"release\""), "{path}: a tag");
    }
    let (_, _, html) = ask(&app, "/builders?builder=deploy").await;
    assert!(html.contains("no builder named “deploy”"), "as one that is not there: {html}");
    assert_eq!(ask(&app, "/builders/unit-linux").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&app, "/builders/unit-linux/builds/1").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&app, "/builders/docs/builds/1").await.0, StatusCode::OK);
}

#[tokio::test]
async fn w07_numbuilds_is_a_setting_that_the_address_overrides() {
    let rows = |html: &str| html.matches("<tr class=\"rl ").count();
    let app = fixture::app(site(&serde_json::json!({"numbuilds": 3})));
    assert_eq!(builds(&ask(&app, "/builders/release").await.2, "release"), [26, 25, 24]);
    assert_eq!(rows(&ask(&app, "/one_line_per_build").await.2), 3);
    assert_eq!(builds(&ask(&app, "/builders/release?numbuilds=4").await.2, "release").len(), 4);
    assert_eq!(rows(&ask(&app, "/one_line_per_build?numbuilds=9").await.2), 9);
    assert_eq!(builds(&page("/builders/release").await, "release").len(), 5, "without the setting");
    assert_eq!(rows(&page("/one_line_per_build").await), 20, "without the setting");
}

#[tokio::test]
async fn c02_two_sites_of_one_view_each_have_their_own_settings() {
    let docs = fixture::app(site(&serde_json::json!({"title": "Books", "categories": ["docs"]})));
    let units = site(&serde_json::json!({"title": "Parts", "categories": ["unit"]}));
    let units =
        Arc::new(App { view: docs.view.clone(), site: units, feed: None, logs: docs.logs.clone() });
    for (app, title, builder, path) in
        [(&docs, "Books", "docs", "unit-linux"), (&units, "Parts", "unit-linux", "docs")]
    {
        let html = ask(app, "/builders").await.2;
        assert!(html.contains(title) && html.contains(&format!("builders/{builder}\"")), "{title}");
        assert!(!html.contains(&format!("builders/{path}\"")), "{title}");
        assert_eq!(ask(app, &format!("/builders/{path}")).await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn w08_projects_repositories_revisions_and_tickets_are_links() {
    let app = fixture::app(site(&serde_json::json!({
        "projects": {"app": "https://app.example.org/?a=1&b=2"},
        "repositories": {"*": "https://browse.example.org/{{ name[8:] }}"},
        "revlink": {"*": "https://rev.example.org/%s"},
        "changecommentlink": {"*": {"pattern": r"bug #(\d+)", "url": r"https://bugs.example.org/\1"}},
    })));
    for path in ["/builders/unit%20win%2F32/builds/25", "/changes/50"] {
        let (_, _, html) = ask(&app, path).await;
        for link in [
            "href=\"https://app.example.org/?a=1&amp;b=2\"",
            "href=\"https://browse.example.org/git.example.org/app.git\"",
            "href=\"https://rev.example.org/",
            "<a class=\"lk\" href=\"https://bugs.example.org/18\">bug #18</a>",
        ] {
            assert!(html.contains(link), "{path} lacks {link}: {html}");
        }
        assert!(!html.contains("href=\"javascript"));
    }
}

#[tokio::test]
async fn an_unknown_builder_is_a_404_that_offers_the_nearest_names() {
    refused("/builders/unit-lnux", 404, &["no builder named “unit-lnux”", "builders/unit-linux\""])
        .await;
    refused("/builders/%3Cscript%3E", 404, &["“&lt;script&gt;”"]).await;
    refused("/builders/%ff%00", 404, &["no builder named"]).await;
    refused("/builders/docs/builds/900", 404, &["docs has no build 900"]).await;
    refused("/builders/docs/builds/99999999999999999999", 404, &["is no number"]).await;
}

#[tokio::test]
async fn w03_public_files_stand_beside_the_pages_which_win_over_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "own <script>1</script>").unwrap();
    std::fs::write(dir.path().join("builders"), "not this").unwrap();
    let app = fixture::app(site(&serde_json::json!({"publicHtml": dir.path()})));
    let (status, headers, body) = ask(&app, "/index.html").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "own <script>1</script>"));
    assert!(!headers.contains_key(header::CONTENT_SECURITY_POLICY), "the site's own affair");
    assert!(ask(&app, "/builders").await.2.contains("<h1>Builders</h1>"));
    assert!(ask(&app, "/robots.txt").await.2.contains("Disallow: /waterfall"));
    let (status, headers, body) = ask(&app, "/no%3Csuch").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("There is nothing at /no&lt;such.") && body.contains("</footer>"));
    assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
}

#[tokio::test]
async fn lists_without_a_page_and_slashes_at_the_end_lead_to_the_page() {
    for (path, to) in [
        ("/one_box_per_builder", "builders"),
        ("/builders/", "../builders"),
        ("/builders/unit%20win%2F32/", "../unit%20win%2F32"),
        ("/builders/docs/builds", "../docs"),
        ("/builders/docs/builds/3/?a=b", "../3?a=b"),
        ("/builders/docs/builds/3/steps", "../3"),
        ("/builders/docs/builds/3/steps/git/logs", "../git"),
    ] {
        let (status, headers, _) = ask(&app(), path).await;
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT, "{path}");
        assert_eq!(headers[header::LOCATION], to, "{path}");
    }
}

/// Follows every link from the first page on: each leads to a page, and no page lets through
/// what a name, a comment, a property or a log holds.
#[tokio::test]
async fn no_link_is_dead_and_no_name_breaks_a_page() {
    let app = app();
    let href = Regex::new("(?:href|action)=\"?([^\"#> ][^\"> ]*)").unwrap();
    let base: url::Url = "http://host/".parse().unwrap();
    let mut queue = vec![base.clone()];
    let mut seen = std::collections::BTreeSet::new();
    // One build of each builder stands for all of them.
    let many = Regex::new("/builds/(?:[0-9]|1[0-9]|2[0-5])(?:/|$)|/changes/[1-4]").unwrap();
    // Pages and files that have tests of their own.
    let others = Regex::new("^/waterfall|^/[a-z]+\\.(css|js|svg)$").unwrap();
    while let Some(url) = queue.pop() {
        let path = url.path().to_owned() + &url.query().map_or(String::new(), |q| format!("?{q}"));
        if url.host_str() != Some("host")
            || many.is_match(url.path())
            || !seen.insert(path.clone())
            || others.is_match(&path)
        {
            continue;
        }
        let (status, headers, html) = ask(&app, &path).await;
        let gone = path.contains(&segment(NASTY).to_string()) && path.contains("/logs/")
            || path.contains("/logs/old")
            || path.contains("/live");
        assert!(
            status == StatusCode::OK || status == StatusCode::TEMPORARY_REDIRECT || gone,
            "{path}: {status}"
        );
        let kind = headers.get(header::CONTENT_TYPE).map_or("", |k| k.to_str().unwrap());
        if !kind.starts_with("text/html") || path.contains("report.html") {
            continue;
        }
        for raw in ["<script>", "<b>\"x\"", "<i>", "<img", "onerror=alert(1)>", "href=\"javascript"]
        {
            let allowed =
                raw == "<i>" && html.matches("<i>").count() == html.matches("</i></a>").count();
            assert!(allowed || !html.contains(raw), "{path} lets {raw} through");
        }
        assert_eq!(html.matches("<h1").count(), 1, "{path} has one headline");
        for link in href.captures_iter(&html) {
            queue.push(url.join(&link[1].replace("&amp;", "&")).unwrap());
        }
    }
    assert!(seen.len() > 150, "{}", seen.len());
    assert!(seen.iter().any(|p| p.contains(&segment(NASTY).to_string())));
}
