//! What the examples become, in golden files.
#![allow(clippy::unwrap_used)]

use super::Kind;
use crate::{
    Seeds, Settings,
    children::{ChildKind, Means},
    reconcile::{Around, MasterSeen},
};
use crds::{GerritPush, GitHubStatus, HttpPush, MailNotifier, Master, StatusPush, WebStatus};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

fn settings() -> Settings {
    Settings {
        pod_otlp_endpoint: Some("http://collector.observability:4318".to_owned()),
        image_pull_secrets: vec!["operators".to_owned()],
        pod_monitor_labels: BTreeMap::from([
            ("release".to_owned(), "prometheus".to_owned()),
            // The operator's own stay as they are.
            ("app.kubernetes.io/managed-by".to_owned(), "somebody".to_owned()),
        ]),
        ..Settings::new("registry.example.org/buildbot-status:1")
    }
}

fn means(settings: &Settings) -> Means<'_> {
    Means {
        settings,
        seeds: Seeds::new([("2026-01-01".to_owned(), vec![b'x'; 32])]).unwrap(),
        optional: [ChildKind::HTTPRoute, ChildKind::PodMonitor].into(),
    }
}

fn example<K: DeserializeOwned>(size: &str, name: &str) -> K {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(size);
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let mut value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    value["metadata"]["uid"] = "5a1c".into();
    value["metadata"]["namespace"] = "ci".into();
    serde_json::from_value(value).unwrap()
}

fn master() -> MasterSeen {
    MasterSeen {
        namespace: "ci".to_owned(),
        name: "main".to_owned(),
        uid: "0e1f".to_owned(),
        allowed: true,
        denies: false,
    }
}

/// The objects of a resource as one YAML text.
fn objects<K: Kind>(resource: &K, secrets: &[&str]) -> String {
    let settings = settings();
    let around = Around {
        master: Some(master()),
        secrets: secrets
            .iter()
            .map(|n| ((*n).to_owned(), Some("7".to_owned())))
            .collect::<BTreeMap<_, _>>(),
        pages: Some("https://status.example.org/".to_owned()),
        ..Around::default()
    };
    let mut text = String::new();
    for mut child in resource.children(&around, &means(&settings)).unwrap() {
        // Tokens and keys are tested where they are made.
        for value in
            child.body.get_mut("data").and_then(|data| data.as_object_mut()).into_iter().flatten()
        {
            if child.kind == ChildKind::Secret {
                *value.1 = "…".into();
            }
        }
        let yaml = serde_saphyr::to_string(&child.body).unwrap();
        writeln!(text, "---\n{yaml}").unwrap();
    }
    text
}

#[test]
fn k02_the_shortest_examples_become_these_objects() {
    insta::assert_snapshot!(
        "short-master",
        objects(&example::<Master>("minimal", "master.yaml"), &[])
    );
    insta::assert_snapshot!(
        "short-web",
        objects(&example::<WebStatus>("minimal", "webstatus.yaml"), &[])
    );
    insta::assert_snapshot!(
        "short-mail",
        objects(&example::<MailNotifier>("minimal", "mailnotifier.yaml"), &[])
    );
    insta::assert_snapshot!(
        "short-push",
        objects(&example::<HttpPush>("minimal", "httppush.yaml"), &[])
    );
    insta::assert_snapshot!(
        "short-program",
        objects(&example::<StatusPush>("minimal", "statuspush.yaml"), &[])
    );
    insta::assert_snapshot!(
        "short-gerrit",
        objects(&example::<GerritPush>("minimal", "gerritpush.yaml"), &[])
    );
    insta::assert_snapshot!(
        "short-github",
        objects(&example::<GitHubStatus>("minimal", "githubstatus.yaml"), &["github"])
    );
}

#[test]
fn k02_the_longest_examples_become_these_objects() {
    insta::assert_snapshot!(
        "long-master",
        objects(&example::<Master>("full", "master.yaml"), &["buildbot"])
    );
    insta::assert_snapshot!(
        "long-web",
        objects(&example::<WebStatus>("full", "webstatus.yaml"), &[])
    );
    insta::assert_snapshot!(
        "long-mail",
        objects(&example::<MailNotifier>("full", "mailnotifier.yaml"), &["smtp"])
    );
    insta::assert_snapshot!(
        "long-push",
        objects(&example::<HttpPush>("full", "httppush.yaml"), &["push"])
    );
    insta::assert_snapshot!(
        "long-program",
        objects(&example::<StatusPush>("full", "statuspush.yaml"), &[])
    );
    insta::assert_snapshot!(
        "long-gerrit",
        objects(&example::<GerritPush>("full", "gerritpush.yaml"), &["gerrit"])
    );
    insta::assert_snapshot!(
        "long-github",
        objects(&example::<GitHubStatus>("full", "githubstatus.yaml"), &["github"])
    );
}

#[test]
fn k02_a_changed_secret_or_manifest_makes_other_pods_and_the_same_makes_the_same() {
    let settings = settings();
    let mail: MailNotifier = example("full", "mailnotifier.yaml");
    let pods = |mail: &MailNotifier, version: &str| {
        let around = Around {
            master: Some(master()),
            secrets: [("smtp".to_owned(), Some(version.to_owned()))].into(),
            ..Around::default()
        };
        let children = mail.children(&around, &means(&settings)).unwrap();
        children.into_iter().find(|child| child.kind == ChildKind::Deployment).unwrap().body
    };
    assert_eq!(pods(&mail, "7"), pods(&mail, "7"));
    assert_ne!(pods(&mail, "7"), pods(&mail, "8"));
    let mut other = mail.clone();
    other.spec.suspend = true;
    assert_ne!(pods(&mail, "7"), pods(&other, "7"));
}

#[test]
fn k02_what_only_the_cluster_reads_makes_no_other_pods() {
    let settings = settings();
    let around = Around { master: Some(master()), ..Around::default() };
    let pods = |pages: &WebStatus| {
        let children = pages.children(&around, &means(&settings)).unwrap();
        let found = children.into_iter().find(|child| child.kind == ChildKind::Deployment);
        found.unwrap().body["spec"]["template"].clone()
    };
    let pages: WebStatus = example("full", "webstatus.yaml");
    let mut other = pages.clone();
    other.spec.replicas += 1;
    (other.spec.ingress, other.spec.http_route, other.spec.autoscaling) = (None, None, None);
    assert_eq!(pods(&pages), pods(&other));
    other.spec.title = Some("Other builds".to_owned());
    assert_ne!(pods(&pages), pods(&other));

    let feeds = |master: &Master| {
        let children = master.children(&Around::default(), &means(&settings)).unwrap();
        let found = children.into_iter().find(|child| child.kind == ChildKind::StatefulSet);
        found.unwrap().body["spec"]["template"].clone()
    };
    let master: Master = example("full", "master.yaml");
    let mut other = master.clone();
    other.spec.allowed_namespaces = crds::AllowedNamespaces::default();
    other.spec.storage.size = Some("40Gi".parse().unwrap());
    assert_eq!(feeds(&master), feeds(&other));
    other.spec.history.max_builds += 1;
    assert_ne!(feeds(&master), feeds(&other));
}

#[test]
fn a_target_without_a_master_has_no_objects() {
    let settings = settings();
    let mail: MailNotifier = example("minimal", "mailnotifier.yaml");
    assert!(mail.children(&Around::default(), &means(&settings)).unwrap().is_empty());
}

#[test]
fn k02_pods_stay_as_many_as_they_are_until_an_autoscaler_says_another_number() {
    let settings = settings();
    let pages: WebStatus = example("full", "webstatus.yaml");
    let scaling = pages.spec.autoscaling.clone().unwrap();
    let asked = |replicas: Option<u32>| {
        let around = Around { master: Some(master()), replicas, ..Around::default() };
        let children = pages.children(&around, &means(&settings)).unwrap();
        let found = children.into_iter().find(|child| child.kind == ChildKind::Deployment);
        found.unwrap().body["spec"]["replicas"].as_u64()
    };
    let within = scaling.min_replicas + 1;
    assert!(within < scaling.max_replicas);
    assert_eq!(asked(Some(within)), Some(within.into()));
    // After a suspension there are none, and an autoscaler leaves it at that.
    assert_eq!(asked(Some(0)), Some(scaling.min_replicas.into()));
    // The number is the autoscaler's.
    assert_eq!(asked(None), None);
}
