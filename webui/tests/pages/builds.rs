//! A builder, its builds and their steps: rows P10 to P12.

use super::{ask, builds, fixture, page, refused, site};
use std::sync::Arc;
use webui::{logs::LogText, server::App, view::Shared};

#[tokio::test]
async fn p10_a_builder_shows_what_runs_waits_and_was() {
    let html = page("/builders/unit-linux").await;
    assert!(html.contains("Build 27") && html.contains("force build &lt;now&gt;"));
    assert_eq!(html.matches("for alice").count(), 2);
    assert!(html.contains("feature/x"));
    assert!(html.contains("waterfall?builder=unit-linux"));
    assert!(
        html.contains("buildslaves/w1") && html.contains("not connected") == html.contains("w2")
    );
}

#[tokio::test]
async fn p10_numbuilds_says_how_many_builds_are_listed_and_five_is_the_default() {
    let five = builds(&page("/builders/release").await, "release");
    assert_eq!(five, [26, 25, 24, 23, 22]);
    assert_eq!(builds(&page("/builders/release?numbuilds=7").await, "release").len(), 7);
    assert!(page("/builders/release").await.contains("?numbuilds=25\">Show more"));
    let app = fixture::app(site(&serde_json::json!({"numbuilds": 3})));
    assert_eq!(builds(&ask(&app, "/builders/release").await.2, "release").len(), 3, "the setting");
    for bad in ["0", "-1", "x", "1001", "99999999999999999999"] {
        let path = format!("/builders/release?numbuilds={bad}");
        refused(&path, 400, &[&format!("numbuilds={bad}"), "from 1 to 1000"]).await;
    }
}

#[tokio::test]
async fn p10_properties_filter_builds_and_requests_by_their_text() {
    let of = |query: &'static str| async move {
        let html = page(&format!("/builders/unit-linux?numbuilds=4&{query}")).await;
        let pending = html.matches("force build").count();
        let mut numbers = builds(&html, "unit-linux");
        numbers.retain(|n| *n != 27);
        (numbers, pending)
    };
    assert_eq!(of("property.parity=odd").await, (vec![25, 23, 21, 19], 2));
    assert_eq!(of("property.parity=even").await, (vec![26, 24, 22, 20], 0));
    assert_eq!(of("property.clean=True").await.0, [26, 24, 22, 20]);
    assert_eq!(of("property.parity=odd&property.clean=true").await.0, [] as [u64; 0]);
    assert_eq!(of("property.parity=odd&property.parity=even").await.0, [26, 25, 24, 23]);
    assert_eq!(of("property.nosuch=x").await, (vec![], 0));
    let html = page("/builders/unit-linux?property.parity=even").await;
    assert!(!html.contains("<b>Build 27</b>"), "running builds are filtered, too");
    assert!(html.contains("property.parity: even"), "the filter in use can be seen and removed");
}

#[tokio::test]
async fn p11_a_build_has_its_steps_logs_sources_properties_people_and_times() {
    let html = page("/builders/unit%20win%2F32/builds/26").await;
    for words in [
        "failed test",
        "test failed (1)",
        "steps/compile/logs/build.log",
        "logs/long%20log",
        "href=\"https://dl.example.org/app\"",
        "Failing since",
        "build 23",
        "3 in a row",
        "<dt>Branch<dd>master",
        "got_revision",
        "&lt;evil&gt;",
        "{&quot;&lt;a&gt;&quot;:",
        "any &lt;change&gt;",
        "<dt>Owners<dd>alice",
        "buildslaves/w2",
        "<dt>Started",
        "<dt>Finished",
        "<dt>Elapsed",
        "2 changes",
        "builds/25\">Previous",
    ] {
        assert!(html.contains(words), "no {words}: {html}");
    }
    assert!(!html.contains("builds/27"), "there is none after it");
    assert!(!html.contains("href=\"javascript:"), "a step's link runs no script");
    assert!(page("/builders/docs/builds/26").await.contains("builds/27\">Next"));
    assert!(!page("/builders/docs/builds/26").await.contains("steps/configure"), "a hidden step");
}

#[tokio::test]
async fn p11_a_number_below_zero_counts_from_the_end() {
    assert!(page("/builders/docs/builds/-1").await.contains("build 27</span>"));
    assert!(page("/builders/docs/builds/-2").await.contains("build 26</span>"));
    refused("/builders/docs/builds/-999", 404, &["so many builds"]).await;
    refused("/builders/docs/builds/-9223372036854775808", 404, &["so many builds"]).await;
}

#[tokio::test]
async fn p11_a_build_that_runs_says_how_long_it_will_take() {
    let html = page("/builders/unit-linux/builds/27").await;
    assert!(html.contains("<progress class=y") && html.contains(" of about "), "{html}");
    assert!(html.contains("<dt>Finished<dd>about "));
}

#[tokio::test]
async fn p11_a_try_build_shows_its_patch() {
    let html = page("/builders/try/builds/26").await;
    assert!(html.contains("by Eli &lt;eli@example.org&gt;: try this"), "{html}");
    assert!(html.contains("-&lt;old&gt;") && html.contains("Level 1"));
}

#[tokio::test]
async fn p11_p12_a_step_that_a_killed_master_left_open_ended_with_its_build() {
    use model::{LogId, Outcome, Timestamp};
    use webui::testing;
    let mut build = testing::running(1, 9, 60);
    (build.outcome, build.text) = (Some(Outcome::Exception), "exception".into());
    build.complete_at = Some(Timestamp(build.started_at.0 + 60 * 59));
    let log = &mut build.steps[2].logs[0];
    (log.id, log.complete) = (LogId(fixture::LIVE), false);
    let view = testing::view(vec![testing::builder(1, None, &[])], vec![build], vec![]);
    let view = Shared::new(view);
    let logs: Arc<dyn LogText> = Arc::new(fixture::Texts);
    let site = site(&serde_json::json!({}));
    let app = Arc::new(App { view, site, feed: None, logs: Some(logs) });
    let path = "/builders/b1/builds/9";
    for (path, seen) in [
        (path.to_owned(), "exception"),
        (format!("{path}/steps/test"), "exception"),
        (format!("{path}/steps/test/logs/stdio"), "still making"),
        ("/buildstatus?builder=b1&number=9".to_owned(), "test"),
    ] {
        let (status, _, html) = ask(&app, &path).await;
        assert_eq!(status, 200, "{path}: {html}");
        assert!(html.contains(seen), "{path}: {html}");
        let (_, body) = html.split_once("<h1").unwrap_or(("", &html));
        for word in ["running", "being written", "not yet", "so far", "data-stream", "<progress"] {
            assert!(!body.contains(word), "{path} says {word}: {body}");
        }
        for class in ["st y", "\"y\"", "class=y", "\"y h"] {
            assert!(!body.contains(class), "{path} has {class}: {body}");
        }
    }
}

#[tokio::test]
async fn p12_a_step_is_found_by_its_name_and_by_its_number() {
    for step in ["test", "3"] {
        let html = page(&format!("/builders/unit%20win%2F32/builds/26/steps/{step}")).await;
        assert!(html.contains("<h1>test</h1>") && html.contains("logs/long%20log/text"), "{html}");
        assert!(html.contains("25000") && html.contains("<dt>Usually<dd>"));
    }
    let nosuch = "/builders/unit%20win%2F32/builds/26/steps/tets";
    refused(nosuch, 404, &["no step named “tets”", "steps/compile"]).await;
}
