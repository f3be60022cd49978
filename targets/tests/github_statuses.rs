//! Statuses that a stand-in for GitHub takes: their order, their end, and what holds them up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{Options, SendError, budget::Budgets, compliance::Journal, run};
use e2e::github::{Deed, GitHub, Reply};
use model::{Outcome, Property, Record, Timestamp};
use serde_json::json;
use std::time::Duration;
use support::{
    github::{OTHER, SHA, build, ends, make, send, starts, states, target, told},
    metrics, quick,
};
use targets::github::{GitHubStatus, Secrets};
use tokio_util::sync::CancellationToken;

/// Runs a target until the journal is done.
async fn deliver(target: GitHubStatus, records: Vec<Record>) -> Journal {
    let journal = Journal::new(records);
    let own = target.options("github", &Budgets::default());
    let options = Options { backoff: quick(), hold: quick(), ..own };
    let mut state = options.watch();
    let cancel = CancellationToken::new();
    let loops = run(journal.open(), target, options, metrics(), cancel.clone());
    let loops = tokio::spawn(loops);
    let done = state.wait_for(|_| journal.is_done());
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("done").unwrap();
    cancel.cancel();
    loops.await.unwrap().unwrap();
    journal
}

fn fails(error: Result<(), SendError>) -> SendError {
    error.unwrap_err()
}

#[tokio::test]
async fn g05_a_build_is_pending_until_it_ends_whatever_becomes_of_it() {
    let github = GitHub::start().await;
    for (id, outcome) in (1..).zip(Outcome::ALL) {
        let records = vec![starts(id, id), ends(id, id, outcome)];
        deliver(target(&github, &json!({})), records).await;
        let last = match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            _ => "error",
        };
        let context = format!("buildbot/b{id}");
        assert_eq!(states(&github, SHA, &context), ["pending", last], "{outcome}");
    }
    assert!(!github.shown().values().any(|state| state == "pending"));
}

#[tokio::test]
async fn g05_a_build_that_is_retried_is_an_error_until_the_next_begins() {
    let github = GitHub::start().await;
    let records = vec![
        starts(1, 1),
        ends(1, 1, Outcome::Retry),
        starts(1, 2),
        ends(1, 2, Outcome::Cancelled),
        starts(1, 3),
        ends(1, 3, Outcome::Success),
    ];
    deliver(target(&github, &json!({})), records).await;
    let expected = ["pending", "error", "pending", "error", "pending", "success"];
    assert_eq!(states(&github, SHA, "buildbot/b1"), expected);
}

#[tokio::test]
async fn g05_failures_on_the_way_do_not_change_the_order_of_a_builders_statuses() {
    let github = GitHub::start().await;
    let mut asked = 0;
    github.script(move |_| {
        asked += 1;
        match asked % 3 {
            0 => Deed::Usual,
            1 => Deed::Refuse(Reply::refusal(502, "Server Error")),
            _ => Deed::Refuse(Reply::refusal(500, "Server Error")),
        }
    });
    let mut records = Vec::new();
    for id in 1..=6 {
        let builder = 1 + id % 2;
        records.extend([starts(builder, id), ends(builder, id, Outcome::Failure)]);
    }
    let journal = deliver(target(&github, &json!({})), records).await;
    assert!(journal.dead().is_empty(), "{:?}", journal.dead());
    for context in ["buildbot/b1", "buildbot/b2"] {
        assert_eq!(states(&github, SHA, context), ["pending", "failure"].repeat(3), "{context}");
    }
}

#[tokio::test]
async fn g05_a_start_that_comes_after_its_end_changes_nothing() {
    let github = GitHub::start().await;
    let first = target(&github, &json!({}));
    send(&first, &ends(1, 1, Outcome::Success)).await.unwrap();
    // The process that told the end knows.
    send(&first, &starts(1, 1)).await.unwrap();
    // Another one asks about a start that is no news: by the build's page, or by the time.
    let mut late = build(1, 1, None);
    late.started_at = Timestamp(Timestamp::now().0 - 3600);
    let late = told(late, 2);
    send(&target(&github, &json!({})), &late).await.unwrap();
    let spec = support::github_spec(
        &github.url(),
        &json!({ "tokenSecretRef": { "name": "github", "key": "token" } }),
    );
    let secrets = Secrets { token: Some(e2e::github::TOKEN.to_owned()), ..Secrets::default() };
    let pageless =
        GitHubStatus::new("github", &spec, &secrets, targets::About::default().fixed()).unwrap();
    send(&pageless, &late).await.unwrap();
    assert_eq!(states(&github, SHA, "buildbot/b1"), ["success"]);
    // One that is late and not over is told.
    let mut running = build(1, 2, None);
    running.started_at = Timestamp(Timestamp::now().0 - 3600);
    send(&target(&github, &json!({})), &told(running, 4)).await.unwrap();
    assert_eq!(states(&github, SHA, "buildbot/b1"), ["success", "pending"]);
}

#[tokio::test]
async fn g05_a_build_whose_commit_or_context_is_another_at_its_end_leaves_none_pending() {
    let github = GitHub::start().await;
    let more = json!({ "sha": "%(prop:got_revision)s", "context": "ci/%(prop:flavour)s" });
    let with = |mut build: model::Build, sha: &str, flavour: &str| {
        for (name, text) in [("got_revision", sha), ("flavour", flavour)] {
            let property = Property(json!(text), "Git".to_owned());
            build.properties.0.insert(name.to_owned(), property);
        }
        build
    };
    let began = told(with(build(1, 1, None), SHA, "first"), 2);
    let ended = told(with(build(1, 1, Some(Outcome::Success)), OTHER, "second"), 3);
    deliver(target(&github, &more), vec![began, ended]).await;
    assert_eq!(states(&github, SHA, "ci/first"), ["pending", "success"]);
    assert_eq!(states(&github, OTHER, "ci/second"), ["success"]);
}

#[tokio::test]
async fn g05_what_github_refuses_for_good_says_what_would_mend_it_and_holds_up_nobody() {
    let github = GitHub::start().await;
    // Each build says which repository it is of: one that there is not is its own matter.
    let more = json!({ "repoName": "%(prop:repo)s", "sha": "%(prop:sha)s" });
    let of = |id: u64, repository: &str, sha: &str| {
        let mut build = build(id, id, Some(Outcome::Success));
        for (name, text) in [("repo", repository), ("sha", sha)] {
            let property = Property(json!(text), "Builder".to_owned());
            build.properties.0.insert(name.to_owned(), property);
        }
        told(build, id)
    };
    let records = vec![of(1, "nowhere", SHA), of(2, "project", "short"), of(3, "project", SHA)];
    let journal = deliver(target(&github, &more), records).await;
    let dead: Vec<String> = journal.dead().into_values().map(|letter| letter.text).collect();
    assert_eq!(dead.len(), 2, "{dead:?}");
    assert!(dead[0].contains("there is no repository example/nowhere"), "{dead:?}");
    assert!(dead[1].contains("No commit found") && dead[1].contains("was it pushed"), "{dead:?}");
    assert_eq!(states(&github, SHA, "buildbot/b3"), ["success"]);
}

#[tokio::test]
async fn a_wrong_token_or_repository_holds_everything_until_it_is_mended() {
    let github = GitHub::start().await;
    let wrong = Secrets { token: Some("ghp_wrong123".to_owned()), ..Secrets::default() };
    let spec = support::github_spec(
        &github.url(),
        &json!({ "tokenSecretRef": { "name": "github", "key": "token" } }),
    );
    let error = fails(send(&make(&spec, &wrong), &starts(1, 1)).await);
    assert_eq!(error.class(), "misconfigured");
    assert!(error.to_string().contains("Bad credentials"), "{error}");
    let elsewhere = target(&github, &json!({ "repoName": "nowhere" }));
    let error = fails(send(&elsewhere, &starts(1, 1)).await);
    assert_eq!(error.class(), "misconfigured");
    assert!(error.to_string().contains("spec.repoOwner"), "{error}");
    assert!(github.statuses().is_empty());
}

#[tokio::test]
async fn nothing_is_asked_while_the_limit_of_requests_is_used_up() {
    let github = GitHub::start().await;
    let target = target(&github, &json!({}));
    let reset = Timestamp::now().0 + 1000;
    github.script(move |_| {
        let left = ("x-ratelimit-remaining", "0".to_owned());
        Deed::With(vec![left, ("x-ratelimit-reset", reset.to_string())])
    });
    // The last one of the hour is taken.
    send(&target, &starts(1, 1)).await.unwrap();
    let error = fails(send(&target, &ends(1, 1, Outcome::Success)).await);
    let SendError::Throttled { after: Some(after), text } = error else { panic!("{error}") };
    assert!((990..=1001).contains(&after.as_secs()), "{after:?}");
    assert!(text.contains("x-ratelimit-remaining 0"), "{text}");
    assert_eq!(github.asked().len(), 1, "asked all the same");
}

#[tokio::test]
async fn limits_that_github_tells_of_are_waited_for() {
    let github = GitHub::start().await;
    let secondary = "You have exceeded a secondary rate limit. Please wait a few minutes.";
    for (reply, seconds) in [
        (Reply::refusal(403, secondary).with("retry-after", "7"), 7),
        (Reply::refusal(429, secondary).with("retry-after", "8"), 8),
        (Reply::refusal(403, secondary), 60),
    ] {
        github.script(move |_| Deed::Refuse(reply.clone()));
        let error = fails(send(&target(&github, &json!({})), &starts(1, 1)).await);
        let SendError::Throttled { after, .. } = error else { panic!("{error}") };
        assert_eq!(after, Some(Duration::from_secs(seconds)));
    }
    // And then it goes on.
    let mut left = 2;
    github.script(move |_| {
        left -= 1;
        match left {
            0.. => Deed::Refuse(Reply::refusal(429, secondary).with("retry-after", "0")),
            _ => Deed::Usual,
        }
    });
    let journal =
        deliver(target(&github, &json!({})), vec![starts(1, 1), ends(1, 1, Outcome::Failure)])
            .await;
    assert!(journal.dead().is_empty());
    assert_eq!(states(&github, SHA, "buildbot/b1"), ["pending", "failure"]);
}

#[tokio::test]
async fn an_enterprise_server_has_the_same_below_its_own_path() {
    let github = GitHub::start().await;
    for base in ["/api/v3", "/api/v3/"] {
        let url = format!("{}{base}", github.url());
        send(&target(&github, &json!({ "baseUrl": url })), &starts(1, 1)).await.unwrap();
        let asked = github.asked().pop().unwrap();
        assert_eq!(asked.path, format!("/api/v3/repos/example/project/statuses/{SHA}"));
    }
}

#[tokio::test]
async fn old_events_are_told_however_late_and_never_given_up() {
    let github = GitHub::start().await;
    let target = target(&github, &json!({}));
    let options = target.options("github", &Budgets::default());
    assert_eq!((options.catch_up, options.max_age), (None, Duration::MAX));
    let mut asked = 0;
    github.script(move |_| {
        asked += 1;
        if asked == 1 { Deed::Refuse(Reply::refusal(503, "")) } else { Deed::Usual }
    });
    let mut old = build(1, 1, Some(Outcome::Success));
    let then = Timestamp(Timestamp::now().0 - 30 * 24 * 3600);
    (old.started_at, old.complete_at) = (then, Some(then));
    let journal = deliver(target, vec![told(old, 3)]).await;
    assert!(journal.dead().is_empty());
    assert_eq!(states(&github, SHA, "buildbot/b1"), ["success"]);
}
