#![allow(clippy::unwrap_used)]
use super::{Composer, LONGEST, clean};
use crds::GerritPushSpec;
use model::{Build, BuilderRef, Buildset, Links, Outcome, Properties, Property};
use render::Site;
use serde_json::{Value, json};

fn composer(more: &Value) -> Composer {
    Composer::new(&spec(more)).unwrap()
}

fn spec(more: &Value) -> GerritPushSpec {
    let mut all = json!({ "masterRef": { "name": "main" }, "username": "bot" });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn of_change() -> Properties {
    let revision = "3819d5e801fcf438b5d6e86483ea574d032705a9";
    let all = [
        ("event.change.id", "I1"),
        ("event.change.project", "demo"),
        ("event.patchSet.revision", revision),
    ];
    let property = |(name, value): (&str, &str)| {
        (name.to_owned(), Property(json!(value), "Change".to_owned()))
    };
    Properties(all.into_iter().map(property).collect())
}

fn build(name: &str, outcome: Outcome) -> Build {
    Build {
        number: 3,
        builder: BuilderRef { name: name.into(), ..BuilderRef::default() },
        outcome: Some(outcome),
        text: "some text".into(),
        properties: of_change(),
        ..Build::default()
    }
}

fn site() -> Site {
    Site { links: Some(Links::web_status("http://ci/")), ..Site::default() }
}

/// Title and text of a summary.
fn summary(composer: &Composer, builds: Vec<Build>, site: &Site) -> (String, String) {
    let message = composer.summary(&Buildset::default(), builds, site).unwrap().unwrap();
    (message.review().title(), message.review().text.clone())
}

#[test]
fn g01_the_usual_summary_names_each_result_as_0_8_did() {
    let composer = composer(&json!({}));
    for (outcome, words, vote) in [
        (Outcome::Success, "succeeded", "Verified+1"),
        (Outcome::Failure, "failed", "Verified-1"),
        // Warnings alone are no success.
        (Outcome::Warnings, "completed with warnings", "Verified-1"),
        (Outcome::Exception, "encountered an exception", "Verified-1"),
        (Outcome::Skipped, "completed with unknown result 3", "Verified-1"),
        (Outcome::Cancelled, "completed with unknown result 6", "Verified-1"),
    ] {
        let without = Site { links: None, ..Site::default() };
        let made = summary(&composer, vec![build("b", outcome)], &without);
        assert_eq!(made, (vote.to_owned(), format!("Builder b {words} (some text).")));
    }
    let builds = vec![build("b", Outcome::Success), build("a", Outcome::Success)];
    let expected = "Builder a succeeded (some text) - http://ci/builders/a/builds/3\n\n\
                    Builder b succeeded (some text) - http://ci/builders/b/builds/3";
    assert_eq!(summary(&composer, builds, &site()), ("Verified+1".into(), expected.into()));
    let builds = vec![build("b", Outcome::Success), build("a", Outcome::Failure)];
    assert_eq!(summary(&composer, builds, &site()).0, "Verified-1");
}

#[test]
fn g01_a_summary_goes_where_its_first_build_goes_that_knows() {
    let composer = composer(&json!({}));
    let cut_short = Build { properties: Properties::default(), ..build("a", Outcome::Exception) };
    let builds = vec![cut_short.clone(), build("b", Outcome::Success)];
    let message = composer.summary(&Buildset::default(), builds, &site()).unwrap().unwrap();
    assert_eq!(message.places()[0].project, "demo");
    let nowhere = composer.summary(&Buildset::default(), vec![cut_short], &site()).unwrap();
    assert_eq!(nowhere, None);
    assert_eq!(composer.summary(&Buildset::default(), Vec::new(), &site()).unwrap(), None);
}

#[test]
fn g02_reviews_are_sent_instead_of_the_summary_unless_it_is_asked_for() {
    for (settings, expected) in [
        (json!({}), (false, false, true)),
        (json!({ "start": {} }), (true, false, true)),
        (json!({ "review": {} }), (false, true, false)),
        (json!({ "review": {}, "summary": {} }), (false, true, true)),
    ] {
        let made = composer(&settings);
        assert_eq!((made.starts(), made.reviews(), made.summarises()), expected, "{settings}");
    }
}

#[test]
fn g02_the_usual_review_says_what_the_usual_one_of_buildbot_says() {
    let composer = composer(&json!({ "review": {}, "start": {} }));
    let review = |outcome| composer.review(&build("b", outcome), &site()).unwrap();
    let made = review(Outcome::Warnings).unwrap();
    let text = "Buildbot finished compiling your patchset\non configuration: b\n\
                The result is: WARNINGS";
    assert_eq!((made.review().title(), made.review().text.as_str()), ("Verified-1".into(), text));
    assert_eq!(review(Outcome::Success).unwrap().review().title(), "Verified+1");
    assert_eq!(review(Outcome::Retry), None);
    let started = composer.start(&build("b", Outcome::Success), &site()).unwrap().unwrap();
    assert_eq!(started.review().title(), "no vote");
}

#[test]
fn g02_an_expression_of_a_vote_sees_what_the_message_sees() {
    let votes = json!({ "summary": {
        "message": "{{ results }} {{ builds|length }} {{ builder.name }}",
        "verified": "results == 'running' && builds.exists(b, b.name == 'x') ? 0 : 2",
        "reviewed": "result_code == 0 ? -2 : 2",
    } });
    let made = summary(&composer(&votes), vec![build("b", Outcome::Success)], &site());
    assert_eq!(made, ("Verified+2, Code-Review-2".into(), "running 1 b".into()));
}

#[test]
fn g02_what_can_not_be_used_is_named() {
    for (settings, field, words) in [
        (json!({ "review": { "message": "{{ nosuch }}" } }), "spec.review.message", "`nosuch`"),
        (json!({ "review": { "message": "{{ builds }}" } }), "spec.review.message", "`builds`"),
        (json!({ "start": { "verified": "1 +" } }), "spec.start.verified", "not an expression"),
        (json!({ "summary": { "reviewed": "name" } }), "spec.summary.reviewed", "`name`"),
        (json!({ "start": { "reviewed": "result + 1" } }), "spec.start.reviewed", "types"),
        (
            json!({ "review": { "verified": "result == ''" } }),
            "spec.review.verified",
            "true or false",
        ),
        (json!({ "summary": { "verified": "builds[0]" } }), "spec.summary.verified", "a map"),
    ] {
        let error = Composer::new(&spec(&settings)).unwrap_err();
        assert!(error.field == field && error.text.contains(words), "{error}");
    }
    let not_there = composer(&json!({ "review": { "verified": "properties.vote" } }));
    let error = not_there.review(&build("b", Outcome::Success), &site()).unwrap_err();
    assert_eq!(error.0, "the vote `properties.vote` of Verified: failed: No such key: vote");
}

#[test]
fn a_text_is_as_gerrit_keeps_it() {
    assert_eq!(clean(" \r\n a\r\nb\rc\td\u{0}\u{1b}[31m \n"), "a\nb\nc\td[31m");
    assert_eq!(clean(" \n\t "), "");
    let long = clean(&"ü".repeat(LONGEST));
    assert!(
        long.len() <= LONGEST && long.ends_with("üü\n\n(the rest is left out)"),
        "{}",
        long.len()
    );
}
