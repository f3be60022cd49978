//! The operator's figures (K06): documented, found by the dashboard, and alerts that fire when something is wrong.

use crate::{
    process::{Refusal, Running},
    world::{OBJECTS, PATIENCE, RESOURCES, space, until_objects},
};
use e2e::{Prometheus, cluster::Space, panels, wait_until};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn docs(which: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(which)
}

/// The resources, with a master that no one has to look for.
fn resources() -> String {
    RESOURCES.replace("http://buildbot.example.org:8010/", "http://127.0.0.1:9/")
}

/// Has the operator do, and fail at, all that figures are about.
async fn everything_happens(space: &Space, operator: &Running) -> e2e::Process {
    space.apply(&resources());
    until_objects(space, &OBJECTS).await;
    let feed = operator.feed_of_main(space).await;
    let patch = |what: &str, patch: &str| {
        space.kubectl(&["patch", what, "--type=merge", "--patch", patch]);
    };
    patch("webstatus/pages", r#"{"spec":{"ingress":null}}"#);
    let refusal = Refusal::of_statuses(space).await;
    patch("mailnotifier/mail", r#"{"spec":{"suspend":true}}"#);
    until_figure(operator, "reconciles_total{kind=\"MailNotifier\",outcome=\"api\"}").await;
    drop(refusal);
    operator.link().refuse().await;
    until_figure(operator, "watch_errors_total{").await;
    operator.link().accept().await;
    feed
}

async fn until_figure(operator: &Running, begin: &str) {
    let begin = format!("buildbot_status_operator_{begin}");
    wait_until(&format!("there is {begin}"), PATIENCE, async || {
        operator.figures().await.contains(&begin).then_some(())
    })
    .await;
}

/// A figure's value: its name and its labels.
fn samples(figures: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let lines = figures.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (what, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = what.trim_end_matches('}').split_once('{').unwrap_or((what, ""));
            let labels = labels.split_inclusive("\",").filter_map(|pair| pair.split_once("=\""));
            let bare = |value: &str| value.trim_end_matches(',').trim_end_matches('"').to_owned();
            let labels = labels.map(|(label, value)| (label.to_owned(), bare(value)));
            (name.to_owned(), labels.collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn k06_figures_of_a_running_operator_are_those_that_are_documented_and_panels_find_them() {
    let space = space("figures").await;
    let operator = Running::start(&space, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let rules = ["alerts/buildbot-status.rules.yaml", "alerts/operator.rules.yaml"].map(docs);
    let rules: Vec<&Path> = rules.iter().map(PathBuf::as_path).collect();
    let prometheus = Prometheus::start(folder.path(), &[operator.metrics()], &rules).await;
    let _feed = everything_happens(&space, &operator).await;

    let documented = charts::figures(&fs::read_to_string(docs("metrics.md")).unwrap()).unwrap();
    let wanted: BTreeSet<&str> = documented
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("buildbot_status_operator_"))
        .collect();
    assert!(wanted.len() >= 10, "{wanted:?}");
    let text = wait_until("every figure is there", PATIENCE, async || {
        let text = operator.figures().await;
        let there = |name: &&str| text.contains(&format!("# TYPE {name} "));
        wanted.iter().all(there).then_some(text)
    })
    .await;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let figure = documented.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!(figure.kind, kind, "{name}");
    }
    for (name, labels) in samples(&text) {
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| documented.get(name.strip_suffix(part)?));
        let figure = documented.get(&name).or(base).unwrap();
        let names: BTreeSet<&String> = labels.keys().filter(|label| *label != "le").collect();
        assert_eq!(names, figure.labels.iter().collect(), "{name}");
        for (label, value) in &labels {
            let listed = ["outcome", "result", "ready"].contains(&label.as_str());
            assert!(
                !listed || figure.has_value(value),
                "{name}: {label}={value} is not documented"
            );
        }
    }

    let asked = panels("operator");
    assert!(asked.len() > 12, "{}", asked.len());
    for one in asked {
        let what = format!("{}: {} finds something", one.panel, one.query);
        let series = wait_until(&what, PATIENCE, async || {
            let series =
                prometheus.query(&one.query).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            (!series.is_empty()).then_some(series)
        })
        .await;
        one.check(&series);
    }
    let evaluated = wait_until("all rules were evaluated", PATIENCE, async || {
        let rules = prometheus.rules().await;
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    })
    .await;
    assert!(evaluated.len() > 15, "{}", evaluated.len());
    for rule in evaluated {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// The rules with a second for each minute: an alert that waits for 15 minutes fires after 15 seconds.
fn hurried(folder: &Path) -> [PathBuf; 2] {
    ["buildbot-status.rules.yaml", "operator.rules.yaml"].map(|name| {
        let text = fs::read_to_string(docs("alerts").join(name)).unwrap();
        let hurry = |line: &str| match line.strip_suffix('m') {
            Some(time) if time.trim().starts_with("for: ") => format!("{time}s\n"),
            _ => format!("{}\n", line.replace("m]", "s]")),
        };
        let hurried: String = text.lines().map(hurry).collect();
        assert_ne!(hurried, text);
        let file = folder.join(name);
        fs::write(&file, hurried).unwrap();
        file
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn k06_alerts_fire_when_writes_are_refused_when_nobody_leads_and_when_nothing_runs() {
    let space = space("alerts").await;
    let mut operator = Running::start(&space, Vec::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let rules = hurried(folder.path());
    let rules: Vec<&Path> = rules.iter().map(PathBuf::as_path).collect();
    let prometheus = Prometheus::start(folder.path(), &[operator.metrics()], &rules).await;
    let fires = async |labels: Value| {
        wait_until(&format!("{labels} fires"), PATIENCE, async || {
            let firing = prometheus.firing().await;
            let wanted = labels.as_object().unwrap();
            let is = |alert: &Value| wanted.iter().all(|(label, value)| alert[label] == *value);
            firing.iter().any(is).then_some(())
        })
        .await;
    };
    let alerts = [
        json!({"alertname": "BuildbotStatusReconcileErrors", "kind": "MailNotifier", "outcome": "api"}),
        json!({"alertname": "BuildbotStatusOperatorNotLeading", "job": "test"}),
        json!({"alertname": "BuildbotStatusAbsent"}),
    ];

    space.apply(&resources());
    let mail = resources().split("---\n").last().unwrap().to_owned();
    let names: Vec<String> = (0..8).map(|number| format!("mail-{number}")).collect();
    let named = |name: &String| mail.replace("{name: mail}", &format!("{{name: {name}}}"));
    space.apply(&names.iter().map(named).collect::<Vec<_>>().join("---\n"));
    let ready = "buildbot_status_operator_resources{kind=\"MailNotifier\",ready=\"false\"} == 9";
    wait_until("Prometheus knows of the resources", PATIENCE, async || {
        let series = prometheus.query(ready).await.unwrap();
        (!series.is_empty()).then_some(())
    })
    .await;
    for alert in prometheus.firing().await {
        for ours in &alerts {
            assert_ne!(alert["alertname"], ours["alertname"], "too early");
        }
    }

    let refusal = Refusal::of_statuses(&space).await;
    let patch = r#"{"spec":{"suspend":true}}"#;
    for name in &names {
        space.kubectl(&["patch", "mailnotifier", name, "--type=merge", "--patch", patch]);
    }
    let [errors, not_leading, absent] = alerts;
    fires(errors).await;
    drop(refusal);

    let take = r#"{"spec":{"holderIdentity":"somebody else","leaseDurationSeconds":600}}"#;
    let lease = "lease/buildbot-status-operator";
    space.kubectl(&["patch", lease, "--type=merge", "--patch", take]);
    operator.until_ended().await;
    operator.restart().await;
    fires(not_leading).await;

    operator.kill();
    fires(absent).await;
}
