//! The charts as Helm renders them.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use support::{CHARTS, chart, output, tool};

/// Settings that switch on everything, and the usual ones.
const VALUES: [&str; 4] = ["everything", "one-namespace", "plain", "usual"];

fn values(name: &str) -> std::path::PathBuf {
    chart("tests/values").join(format!("{name}.yaml"))
}

/// The objects that a chart makes.
fn rendered(name: &str, values_file: &str) -> Vec<Value> {
    let mut helm = tool("helm");
    helm.args(["template", "status", "--namespace", "ops", "--kube-version", "1.33.0"]);
    if name == CHARTS[1] {
        helm.arg("--values").arg(values(values_file));
    }
    let text = output(helm.arg(chart(name)));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn k08_the_plain_manifest_is_the_chart_without_helm() {
    let mut helm = tool("helm");
    helm.args(["template", "buildbot-status", "--namespace", "buildbot-status"]);
    helm.args(["--kube-version", "1.33.0", "--values"]).arg(values("plain"));
    let text = output(helm.arg(chart(CHARTS[1])));
    let words =
        |line: &&str| !line.trim().starts_with("helm.sh/chart:") && !line.starts_with("# Source:");
    let lines: Vec<&str> = text.lines().filter(words).collect();
    let wanted = format!(
        "# The chart buildbot-status-operator with its usual settings, for kubectl: see docs/install.md.\n{}\n",
        lines.join("\n").replace("managed-by: Helm", "managed-by: kubectl")
    );
    support::same(&chart("plain").join("operator.yaml"), &wanted);
}

#[test]
fn k08_helm_finds_nothing_wrong() {
    output(tool("helm").args(["lint", "--strict", "--quiet"]).arg(chart(CHARTS[0])));
    for name in VALUES {
        let mut helm = tool("helm");
        helm.args(["lint", "--strict", "--quiet", "--values"]).arg(values(name));
        output(helm.arg(chart(CHARTS[1])));
    }
}

#[test]
fn k08_charts_render_what_their_tests_say() {
    output(tool("helm-unittest").args(CHARTS.map(chart)));
}

#[test]
fn k08_definitions_come_out_of_the_chart_as_they_went_in() {
    let mut objects = rendered(CHARTS[0], "");
    objects.retain(|object| object["kind"] == "CustomResourceDefinition");
    let folder = support::repository("crds/yaml");
    let names = support::names(&folder);
    assert_eq!(objects.len(), names.len());
    for name in names {
        let wanted = support::yaml(&support::read(&folder.join(name)));
        let found = objects.iter().find(|o| o["metadata"]["name"] == wanted["metadata"]["name"]);
        assert_eq!(found.unwrap()["spec"], wanted["spec"], "{}", wanted["metadata"]["name"]);
    }
}

#[test]
fn k08_a_new_seed_key_is_named_by_its_day_and_another_one_each_time() {
    let seeds = [0, 1].map(|_| {
        let objects = rendered(CHARTS[1], "usual");
        let secret = of_kind(&objects, "Secret")[0].clone();
        let (day, key) = secret["data"].as_object().unwrap().iter().next().unwrap();
        let day: Vec<&str> = day.split('-').collect();
        assert_eq!(day.iter().map(|part| part.len()).collect::<Vec<_>>(), [4, 2, 2], "{day:?}");
        let file = STANDARD.decode(key.as_str().unwrap()).unwrap();
        STANDARD.decode(file).unwrap()
    });
    assert_eq!(seeds.each_ref().map(Vec::len), [32, 32]);
    assert_ne!(seeds[0], seeds[1]);
}

#[test]
fn k08_no_right_is_given_by_a_star() {
    for name in VALUES {
        let objects = rendered(CHARTS[1], name);
        let roles = ["Role", "ClusterRole"].into_iter().flat_map(|kind| of_kind(&objects, kind));
        let rules: Vec<_> = roles.flat_map(|role| role["rules"].as_array().unwrap()).collect();
        assert!(rules.len() > 10, "{name}");
        for rule in rules {
            for list in ["apiGroups", "resources", "verbs"] {
                let words = rule[list].as_array().unwrap();
                assert!(words.iter().all(|word| word != "*"), "{rule}");
            }
        }
    }
}

#[test]
fn k08_what_is_namespaced_says_its_namespace_and_everything_has_labels() {
    let cluster = ["Admission", "Cluster"];
    for name in VALUES {
        for object in rendered(CHARTS[1], name) {
            let kind = object["kind"].as_str().unwrap();
            let metadata = &object["metadata"];
            let namespaced = !cluster.iter().any(|word| kind.contains(word));
            assert_eq!(metadata["namespace"].is_string(), namespaced, "{kind}");
            let by = &metadata["labels"]["app.kubernetes.io/managed-by"];
            assert_eq!(by, "Helm", "{kind}");
        }
    }
}
