//! What is said of builds of a real 4.3 master, and when nothing is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{ComposeError, Target as _};
use model::{Build, Event, Outcome, Property};
use serde_json::{Value, json};
use std::fmt::Write as _;
use support::{about, build, github::told, github_spec};
use targets::{
    About, Preview,
    github::{GitHubStatus, Message, Secrets},
};

const API: &str = "https://api.github.com";

fn target_of(about: About, more: &Value) -> GitHubStatus {
    let mut all = json!({ "tokenSecretRef": { "name": "github", "key": "token" } });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let secrets = Secrets { token: Some("ghp_token1".to_owned()), ..Secrets::default() };
    GitHubStatus::new("ci", &github_spec(API, &all), &secrets, about.fixed()).unwrap()
}

fn target(more: &Value) -> GitHubStatus {
    target_of(about(), more)
}

/// As it was when it began.
fn begun(build: Build) -> Build {
    Build { outcome: None, complete_at: None, steps: Vec::new(), ..build }
}

fn message(target: &GitHubStatus, build: Build) -> Message {
    target.compose(&told(build, 1), ()).unwrap().unwrap()
}

fn shown(message: &Message) -> String {
    format!("POST /{}\n{:#}\n", message.path(), message.body())
}

fn preview(target: &GitHubStatus, build: &Build) -> Preview {
    target.preview(build).remove(0)
}

#[test]
fn g04_a_build_is_told_by_these_requests() {
    let usual = target(&json!({}));
    let mut all = String::new();
    for name in ["failure", "restored", "success_again"] {
        all.push_str(&shown(&message(&usual, begun(build(name)))));
        all.push_str(&shown(&message(&usual, build(name))));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn g04_each_part_is_filled_in() {
    let filled = target(&json!({
        "repoOwner": "%(prop:github_repo_owner)s",
        "repoName": "%(prop:github_repo_name:-fallback)s",
        "sha": "%(src:lib:revision)s",
        "startDescription": "%(builder)s began",
        "endDescription": "%(prop:buildnumber)s: %(result)s",
        "context": "ci/%(prop:buildername)s/%(src:app:branch)s",
    }));
    let mut of_two = build("two_codebases");
    let owner = Property(json!("buildbot"), "Builder".to_owned());
    of_two.properties.0.insert("github_repo_owner".to_owned(), owner);
    let all = [shown(&message(&filled, begun(of_two.clone()))), shown(&message(&filled, of_two))];
    insta::assert_snapshot!(all.concat());
}

#[test]
fn g05_nothing_is_said_where_owner_name_or_commit_is_empty_and_check_says_why() {
    let plain = build("failure");
    for (field, more) in [
        ("spec.repoOwner", json!({ "repoOwner": "%(prop:no_such)s" })),
        ("spec.repoName", json!({ "repoName": "%(prop:no_such)s" })),
        ("spec.sha", json!({ "sha": "%(src:no_such:revision)s" })),
        ("spec.sha", json!({ "sha": " " })),
    ] {
        let target = target(&more);
        for build in [begun(plain.clone()), plain.clone()] {
            assert_eq!(target.compose(&told(build, 1), ()), Ok(None), "{field}");
        }
        let said = preview(&target, &plain);
        assert!(said.to.is_empty(), "{said:?}");
        assert!(said.why.starts_with(&format!("skipped: {field} \"")), "{said:?}");
    }
    // A build of the newest revision has none before its source is there.
    let usual = target(&json!({}));
    let said = preview(&usual, &build("warnings"));
    assert_eq!(said.why, "skipped: spec.sha \"%(src::revision)s\" is empty for this build");
    let got = target(&json!({ "sha": "%(prop:got_revision)s" }));
    assert_eq!(preview(&got, &build("warnings")).why, "error");
}

#[test]
fn g05_a_start_whose_properties_are_not_known_is_left_out_where_they_say_what_it_is_of() {
    let mut bare = begun(build("failure"));
    bare.properties.0.clear();
    for (more, told_of) in [
        (json!({}), true),
        (json!({ "startDescription": "on %(prop:workername)s" }), true),
        (json!({ "context": "ci/%(prop:buildername)s" }), false),
        (json!({ "repoOwner": "%(prop:owner:-example)s" }), false),
        (json!({ "sha": "%(src::revision:-%(prop:got_revision)s)s" }), false),
        (json!({ "repoName": "%(src::branch:?|a|%(prop:b)s)s" }), false),
    ] {
        let message = target(&more).compose(&told(bare.clone(), 1), ()).unwrap();
        assert_eq!(message.is_some(), told_of, "{more}");
    }
}

#[test]
fn check_shows_state_address_context_and_request() {
    let said = preview(&target(&json!({})), &build("failure"));
    assert_eq!(said.why, "failure");
    let sha = "e84b9967033c7981cb39a32727ced5541f01d9a6";
    assert_eq!(said.to, [format!("{API}/repos/example/project/statuses/{sha}")]);
    assert_eq!(said.title, "buildbot/unit win/32");
    let body: Value = serde_json::from_str(&said.body).unwrap();
    assert_eq!(body["description"], "Build done.");
    let other = target(&json!({ "builders": ["unit-linux"] }));
    assert_eq!(preview(&other, &build("failure")).why, "not one of its builders");
}

#[test]
fn c01_builders_and_categories_select_what_is_told() {
    let tagged = |name: &str, tags: &[&str]| {
        let mut build = build("failure");
        build.builder.name = name.into();
        build.builder.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        build
    };
    for (more, name, tags, wanted) in [
        (json!({}), "any", vec![], true),
        (json!({ "builders": ["a"] }), "a", vec![], true),
        (json!({ "builders": ["a"] }), "b", vec!["a"], false),
        (json!({ "categories": ["release"] }), "a", vec!["x", "release"], true),
        (json!({ "categories": ["release"] }), "release", vec!["x"], false),
    ] {
        let target = target(&more);
        for build in [begun(tagged(name, &tags)), tagged(name, &tags)] {
            assert_eq!(target.decide(&told(build, 1)), wanted, "{more} {name} {tags:?}");
        }
    }
    let step = build("failure").steps.remove(0);
    let event =
        Event::StepFinished { build: model::BuildId(1), builder: "a".into(), number: 1, step };
    assert!(!target(&json!({})).decide(&support::record(event, 1)));
}

#[test]
fn c02_two_targets_of_one_build_each_have_their_own_settings() {
    let build = build("failure");
    let one = message(&target(&json!({ "repoName": "one", "context": "one" })), build.clone());
    let two = message(&target(&json!({ "repoName": "two", "context": "two" })), build);
    assert_eq!((one.path().contains("/example/one/"), one.context()), (true, "one"));
    assert_eq!((two.path().contains("/example/two/"), two.context()), (true, "two"));
}

#[test]
fn g04_a_description_is_cut_at_140_characters_between_characters() {
    for (given, expected) in [("ä".repeat(140), 140), ("🦀".repeat(200), 140), ("a".repeat(9), 9)]
    {
        let target = target(&json!({ "endDescription": given }));
        let body = message(&target, build("failure")).body();
        let text = body["description"].as_str().unwrap();
        assert_eq!(text.chars().count(), expected);
        assert!(given.starts_with(text));
    }
}

#[test]
fn g04_what_there_is_not_is_left_out() {
    let nowhere = About::default();
    let target = target_of(nowhere, &json!({ "endDescription": "", "context": "%(prop:none)s" }));
    assert_eq!(message(&target, build("failure")).body(), json!({ "state": "failure" }));
}

#[test]
fn text_of_builds_can_not_change_which_request_is_made() {
    let filled = target(&json!({ "repoName": "%(prop:name)s", "sha": "%(prop:sha)s" }));
    let with = |name: &str, sha: &str| {
        let mut build = build("failure");
        for (key, text) in [("name", name), ("sha", sha)] {
            let property = Property(json!(text), "Change".to_owned());
            build.properties.0.insert(key.to_owned(), property);
        }
        filled.compose(&told(build, 1), ())
    };
    let path = |name, sha| with(name, sha).unwrap().unwrap().path();
    assert_eq!(path("a/../b", "c?d#e"), "repos/example/a%2F..%2Fb/statuses/c%3Fd%23e");
    for (name, sha) in [("..", "abc"), (".", "abc"), ("project", "..")] {
        let Err(ComposeError(text)) = with(name, sha) else { panic!("{name} {sha}") };
        assert!(text.contains("names nothing on GitHub"), "{text}");
    }
}

#[test]
fn g05_each_result_of_a_real_master_is_told_by_these_words() {
    let (statuses, checks) = (
        target(&json!({ "sha": "%(prop:got_revision:-d76e234)s" })),
        target(&json!({ "sha": "%(prop:got_revision:-d76e234)s", "mode": "checks" })),
    );
    let mut table = String::new();
    for name in
        ["restored", "success_again", "warnings", "failure", "exception", "retry", "cancelled"]
    {
        let build = build(name);
        let (status, check) = (message(&statuses, build.clone()), message(&checks, build.clone()));
        let outcome = build.outcome.map(Outcome::word).unwrap();
        writeln!(table, "{outcome}: {} {}", status.state(), check.state()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn check_runs_are_told_by_these_requests() {
    let checks = target(&json!({ "mode": "checks", "endDescription": "%(result)s" }));
    let mut all = String::new();
    for name in ["failure", "restored"] {
        all.push_str(&shown(&message(&checks, begun(build(name)))));
        all.push_str(&shown(&message(&checks, build(name))));
    }
    insta::assert_snapshot!(all);
    let nameless = target(&json!({ "mode": "checks", "context": "%(prop:none)s" }));
    let Err(ComposeError(text)) = nameless.compose(&told(build("failure"), 1), ()) else {
        panic!("a check run without a name")
    };
    assert!(text.contains("spec.context") && text.contains("needs a name"), "{text}");
}

#[test]
fn settings_that_can_not_be_used_are_named() {
    let make = |more: &Value, secrets: &Secrets| {
        let spec = github_spec(API, more);
        GitHubStatus::new("ci", &spec, secrets, about().fixed()).unwrap_err().to_string()
    };
    let token = |text: &str| Secrets { token: Some(text.to_owned()), ..Secrets::default() };
    let key = |pem: &[u8]| Secrets { private_key: Some(pem.to_vec()), ..Secrets::default() };
    let app = json!({ "app": {
        "appId": 1, "installationId": 2, "privateKeySecretRef": { "name": "a", "key": "b" },
    } });
    let ca = Secrets { ca: Some(b"none".to_vec()), ..token("x") };
    let all = [
        make(&json!({ "context": "%(prop:)s" }), &token("x")),
        make(&json!({ "sha": "%(kw:a)s" }), &token("x")),
        make(&json!({ "baseUrl": "https://user@h/" }), &token("x")),
        make(&json!({}), &token(" ")),
        make(&json!({}), &token("a\nb")),
        make(&json!({}), &Secrets::default()),
        make(&app, &Secrets::default()),
        make(&app, &key(b"hunter2")),
        make(&app, &key(b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")),
        make(&json!({}), &ca),
    ];
    let all = all.join("\n");
    assert!(!all.contains("hunter2"), "{all}");
    insta::assert_snapshot!(all);
}
