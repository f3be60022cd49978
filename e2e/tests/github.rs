//! Builds of a real master, told to a stand-in for GitHub by a standalone that is killed on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{
    FinishedBuild, Lab, Standalone,
    github::{APP, GitHub, TOKEN},
    manifests, wait_until,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(120);
const PAGES: &str = "http://status.example.org/builders/";

/// Two resources: statuses with a token, check runs with an App. The repository's name is the source's project;
/// a build that nobody asked to be of a commit is of the one that it got.
fn resources(github: &GitHub, folder: &Path) -> String {
    let key = fs::read_to_string(github.make_key(folder)).unwrap();
    let key: String = key.lines().map(|line| format!("    {line}\n")).collect();
    let (app, installation, url) = (APP.0, APP.1, github.url());
    let spec = format!(
        "  masterRef: {{name: main}}
  repoOwner: example
  repoName: '%(src::project)s'
  sha: '%(src::got_revision)s'
  context: 'ci/%(builder)s'
  startDescription: 'On %(prop:workername)s'
  endDescription: '%(result)s'
  baseUrl: {url}
"
    );
    let head = "apiVersion: statustargets.dev/v1alpha1\nkind: GitHubStatus\nmetadata:";
    format!(
        "---
{head} {{name: statuses}}
spec:
{spec}  tokenSecretRef: {{name: github, key: token}}
---
{head} {{name: checks}}
spec:
{spec}  mode: checks
  app:
    appId: {app}
    installationId: {installation}
    privateKeySecretRef: {{name: github, key: private-key.pem}}
---
apiVersion: v1
kind: Secret
metadata: {{name: github}}
stringData:
  token: {TOKEN}
  private-key.pem: |
{key}"
    )
}

/// What the master says of a build: how it ended, the revision that was asked for, and the one that it got.
struct Truth {
    build: FinishedBuild,
    asked: bool,
    got: Option<String>,
}

async fn truth(lab: &Lab) -> Option<Vec<Truth>> {
    let mut all = Vec::new();
    for build in lab.finished().await? {
        let properties = lab.get(&format!("builds/{}/properties", build.id)).await?;
        let text = |name: &str| properties["properties"][0][name][0].as_str().map(str::to_owned);
        let filled = |name| text(name).filter(|text| !text.is_empty());
        let (asked, got) = (filled("revision"), filled("got_revision"));
        // Builds of several codebases have none of the codebase without a name.
        all.push(Truth { build, got: got.or(asked.clone()), asked: asked.is_some() });
    }
    Some(all)
}

/// What was told of each build, by its page; what a kill repeated is told once.
fn told(
    all: Vec<Value>,
    link: &str,
    word: impl Fn(&Value) -> String,
) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in all {
        let page = one[link].as_str().unwrap().strip_prefix(PAGES).unwrap().to_owned();
        let words = told.entry(page).or_default();
        let word = word(&one);
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
    told
}

fn page(build: &FinishedBuild) -> String {
    format!("{}/builds/{}", model::segment(&build.builder), build.number)
}

fn due(truth: &[Truth]) -> BTreeMap<String, Vec<String>> {
    let of_commits = truth.iter().filter(|t| t.got.is_some());
    of_commits
        .map(|t| {
            let end = match t.build.results {
                0 => "success",
                2 => "failure",
                _ => "error",
            };
            let states = if t.asked { vec!["pending", end] } else { vec![end] };
            (page(&t.build), states.into_iter().map(str::to_owned).collect())
        })
        .collect()
}

fn concluded(truth: &[Truth]) -> BTreeMap<String, Vec<String>> {
    let of_commits = truth.iter().filter(|t| t.got.is_some());
    of_commits
        .map(|t| {
            let end = match t.build.results {
                0 => "success",
                1 => "neutral",
                3 => "skipped",
                5 | 6 => "cancelled",
                _ => "failure",
            };
            (page(&t.build), vec![end.to_owned()])
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn g04_g05_builds_of_a_real_master_are_pending_and_then_what_became_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::start(folder.path(), 0.1, &[]).await;
    let github = GitHub::start().await;
    github.add("example/kestrel");
    let text = [
        manifests::master(lab.port(), None, ""),
        manifests::pages(0, "url: http://status.example.org/"),
    ];
    let text = text.join("---\n") + &resources(&github, folder.path());
    let mut standalone = Standalone::start(folder.path(), "data", &text);
    standalone.connected().await;

    let mut scenario = lab.scenario(1, "commits,results,fuzz");
    let ended = wait_until("half of the scenario", PATIENCE, async || {
        (lab.finished().await?.len() >= 8).then_some(())
    });
    ended.await;
    standalone.crash();
    let status = wait_until("the scenario", 3 * PATIENCE, async || scenario.ended()).await;
    assert!(status.success(), "{}", scenario.printed());

    let truth = truth(&lab).await.unwrap();
    let (states, conclusions) = (due(&truth), concluded(&truth));
    let of = |state: &str| states.values().filter(|all| all.last().unwrap() == state).count();
    let begun = states.values().filter(|all| all[0] == "pending").count();
    assert!(of("success") > 0 && of("failure") > 0 && of("error") > 0 && begun > 3, "{states:#?}");
    let statuses =
        || told(github.posted(), "target_url", |s| s["state"].as_str().unwrap().to_owned());
    let runs = || {
        told(github.runs(), "details_url", |run| {
            run["conclusion"].as_str().unwrap_or("running").to_owned()
        })
    };
    // What is not due shows when all is told: a target takes a builder's records in their order.
    let all = wait_until("every build is told of", PATIENCE, async || {
        let all = (statuses(), runs());
        (all.0.len() >= states.len() && all.1 == conclusions && all.0 == states).then_some(all)
    });
    let Ok((came, runs)) = tokio::time::timeout(PATIENCE, all).await else {
        panic!("{:#?}\nis not\n{states:#?}\n{}", statuses(), standalone.printed());
    };
    assert_eq!(came, states);
    assert_eq!(runs, conclusions);
    // Each build has one run of a commit, whatever was killed.
    let mut once = BTreeSet::new();
    for run in github.runs() {
        let key = [&run["external_id"], &run["head_sha"]].map(Value::to_string);
        assert!(once.insert(key), "twice: {run:#}\n{:#?}", github.asked_about(&run));
    }
    // As GitHub shows it, nothing is left pending.
    let shown = github.shown();
    assert!(!shown.is_empty() && shown.values().all(|state| state != "pending"), "{shown:#?}");
    for status in github.posted() {
        let (state, text) = (&status["state"], status["description"].as_str().unwrap());
        assert_eq!(state == "pending", text.starts_with("On"), "{status:#}");
    }
    // Properties are known when a build begins, so that they can say what it is of.
    let named =
        |status: &Value| status["description"].as_str().is_some_and(|t| t.starts_with("On "));
    assert!(github.posted().iter().any(named));
    standalone.end().await;
    lab.end().await;
}
