//! A GitHub App: its tokens and its check runs, with a stand-in for GitHub that checks signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{SendError, Target as _};
use e2e::github::{Deed, GitHub, Reply};
use model::{Outcome, Timestamp};
use serde_json::{Value, json};
use support::github::{App, OTHER, SHA, build, ends, make, send, starts, states, told};
use targets::github::Secrets;

/// Requests for tokens.
fn minting(github: &GitHub) -> Vec<Value> {
    let asked = github.asked().into_iter();
    asked.filter(|asked| asked.path.starts_with("/app/")).map(|asked| asked.body).collect()
}

#[tokio::test]
async fn an_app_signs_its_name_and_uses_a_token_until_it_is_about_to_end() {
    let github = GitHub::start().await;
    let app = App::of(&github);
    let target = app.target(&github, &json!({}));
    for id in 1..=3 {
        send(&target, &starts(1, id)).await.unwrap();
        send(&target, &ends(1, id, Outcome::Success)).await.unwrap();
    }
    assert_eq!(states(&github, SHA, "buildbot/b1"), ["pending", "success"].repeat(3));
    // With no more rights than it needs.
    assert_eq!(minting(&github), [json!({ "permissions": { "statuses": "write" } })]);

    // Less than five minutes are too few to begin something with.
    github.tokens_hold_for(299);
    let other = app.target(&github, &json!({}));
    for id in 4..=5 {
        send(&other, &starts(1, id)).await.unwrap();
    }
    assert_eq!(github.minted(), 3);
}

#[tokio::test]
async fn a_token_that_github_refuses_is_renewed_once() {
    let github = GitHub::start().await;
    let target = App::of(&github).target(&github, &json!({}));
    send(&target, &starts(1, 1)).await.unwrap();
    github.revoke_tokens();
    send(&target, &ends(1, 1, Outcome::Success)).await.unwrap();
    assert_eq!(github.minted(), 2);
    assert_eq!(states(&github, SHA, "buildbot/b1"), ["pending", "success"]);

    github.script(|asked| match asked.path.starts_with("/app/") {
        true => Deed::Usual,
        false => Deed::Refuse(Reply::refusal(401, "Bad credentials")),
    });
    let error = send(&target, &starts(1, 2)).await.unwrap_err();
    assert_eq!((error.class(), github.minted()), ("misconfigured", 3), "{error}");
}

#[tokio::test]
async fn an_app_that_is_not_what_github_knows_holds_the_target_and_says_why() {
    let github = GitHub::start().await;
    let (mine, other) = (App::of(&github), App::of(&github));
    // The second key is the App's by now.
    let error = send(&mine.target(&github, &json!({})), &starts(1, 1)).await.unwrap_err();
    assert_eq!(error.class(), "misconfigured");
    assert!(error.to_string().contains("spec.app.appId"), "{error}");

    let mut spec = App::spec(&github, &json!({}));
    spec.app.as_mut().unwrap().installation_id = 1;
    let secrets = Secrets { private_key: Some(other.key()), ..Secrets::default() };
    let error = send(&make(&spec, &secrets), &starts(1, 1)).await.unwrap_err();
    assert_eq!(error.class(), "misconfigured");
    assert!(error.to_string().contains("spec.app.installationId"), "{error}");
}

#[tokio::test]
async fn no_token_of_an_app_is_told_even_if_github_repeats_it() {
    let github = GitHub::start().await;
    let target = App::of(&github).target(&github, &json!({}));
    github.script(|asked| {
        let said = format!("no {}", asked.token);
        let minting = asked.path.starts_with("/app/");
        if minting { Deed::Usual } else { Deed::Refuse(Reply::refusal(422, &said)) }
    });
    let SendError::Permanent(text) = send(&target, &starts(1, 1)).await.unwrap_err() else {
        panic!("taken")
    };
    assert!(text.contains("no ***") && !text.contains("ghs_"), "{text}");
    github.script(|asked| Deed::Refuse(Reply::refusal(401, &format!("no {}", asked.token))));
    let fresh = App::of(&github).target(&github, &json!({}));
    let error = send(&fresh, &starts(1, 1)).await.unwrap_err().to_string();
    assert!(error.contains("no ***") && !error.contains("eyJ"), "{error}");
}

fn run_of(runs: &[Value], external: &str) -> Value {
    let mut own = runs.iter().filter(|run| run["external_id"] == external);
    let run = own.next().unwrap().clone();
    assert!(own.next().is_none(), "two runs of {external}: {runs:#?}");
    run
}

#[tokio::test]
async fn a_build_is_one_check_run_from_its_start_to_its_end() {
    let github = GitHub::start().await;
    let app = App::of(&github);
    let target = app.target(&github, &json!({ "mode": "checks" }));
    send(&target, &starts(1, 1)).await.unwrap();
    assert_eq!(minting(&github), [json!({ "permissions": { "checks": "write" } })]);
    let run = run_of(&github.runs(), "0d3c/1/build/1");
    assert_eq!((&run["status"], &run["conclusion"]), (&json!("in_progress"), &Value::Null));

    send(&target, &ends(1, 1, Outcome::Failure)).await.unwrap();
    let run = run_of(&github.runs(), "0d3c/1/build/1");
    assert_eq!((&run["status"], &run["conclusion"]), (&json!("completed"), &json!("failure")));
    assert_eq!((&run["name"], &run["head_sha"]), (&json!("buildbot/b1"), &json!(SHA)));
    assert_eq!(run["output"]["title"], "Build done.");
    assert!(github.statuses().is_empty());
}

#[tokio::test]
async fn what_is_told_again_after_a_kill_makes_no_second_check_run() {
    let github = GitHub::start().await;
    let app = App::of(&github);
    let anew = || app.target(&github, &json!({ "mode": "checks" }));
    // Each of these is a process of its own, which knows nothing of the others.
    for _ in 0..2 {
        send(&anew(), &starts(1, 1)).await.unwrap();
    }
    for _ in 0..2 {
        send(&anew(), &ends(1, 1, Outcome::Success)).await.unwrap();
    }
    let run = run_of(&github.runs(), "0d3c/1/build/1");
    assert_eq!(run["conclusion"], "success");
    // A start that comes late does not open it again.
    send(&anew(), &starts(1, 1)).await.unwrap();
    assert_eq!(run_of(&github.runs(), "0d3c/1/build/1"), run);
    // Another build of the commit has a run of its own, though its name is the same.
    send(&anew(), &starts(1, 2)).await.unwrap();
    assert_eq!(github.runs().len(), 2);
}

#[tokio::test]
async fn a_check_run_is_found_behind_a_hundred_of_the_same_name() {
    let github = GitHub::start().await;
    let app = App::of(&github);
    let first = app.target(&github, &json!({ "mode": "checks" }));
    send(&first, &starts(1, 1)).await.unwrap();
    github.copy_runs(100);
    send(&app.target(&github, &json!({ "mode": "checks" })), &ends(1, 1, Outcome::Success))
        .await
        .unwrap();
    let run = run_of(&github.runs(), "0d3c/1/build/1");
    assert_eq!(run["status"], "completed");
}

#[tokio::test]
async fn an_end_without_a_start_is_a_check_run_that_is_completed() {
    let github = GitHub::start().await;
    let target = App::of(&github).target(&github, &json!({ "mode": "checks" }));
    let mut build = build(1, 1, Some(Outcome::Cancelled));
    build.started_at = Timestamp(1_795_412_385);
    build.complete_at = Some(Timestamp(1_795_412_390));
    send(&target, &told(build, 3)).await.unwrap();
    let run = run_of(&github.runs(), "0d3c/1/build/1");
    assert_eq!(run["conclusion"], "cancelled");
    assert_eq!(run["started_at"], "2026-11-23T05:39:45Z");
    assert_eq!(run["completed_at"], "2026-11-23T05:39:50Z");
}

#[tokio::test]
async fn no_check_run_stays_open_if_its_build_is_of_another_commit_at_its_end() {
    let github = GitHub::start().await;
    let more = json!({ "mode": "checks", "sha": "%(src::got_revision)s" });
    let target = App::of(&github).target(&github, &more);
    send(&target, &starts(1, 1)).await.unwrap();
    let mut ended = build(1, 1, Some(Outcome::Success));
    let property = model::Property(json!(OTHER), "Git".to_owned());
    ended.properties.0.insert("got_revision".to_owned(), property);
    send(&target, &told(ended, 3)).await.unwrap();
    let runs = github.runs();
    let of = |sha: &str| runs.iter().filter(|run| run["head_sha"] == sha).collect::<Vec<_>>();
    assert_eq!((of(SHA).len(), of(OTHER).len()), (1, 1), "{runs:#?}");
    assert!(runs.iter().all(|run| run["conclusion"] == "success"), "{runs:#?}");
}

#[tokio::test]
async fn without_an_app_github_takes_no_check_run() {
    let github = GitHub::start().await;
    let target = support::github::target(&github, &json!({ "mode": "checks" }));
    let message = target.compose(&starts(1, 1), ()).unwrap().unwrap();
    assert_eq!(message.state(), "in_progress");
    let error = send(&target, &starts(1, 1)).await.unwrap_err();
    assert!(error.to_string().contains("authenticate via a GitHub App"), "{error}");
}
