//! What is read from files, folders and lists, and what is skipped.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use crds::manifest::{LoadOptions, ManifestError, Manifests, Resource, load};
use crds::{Listen, SecretKeyRef};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

const PUSH: &str = "apiVersion: statustargets.dev/v1alpha1
kind: HttpPush
metadata: {name: push}
spec:
  masterRef: {name: main}
  serverUrl: http://localhost:9000/
  authorizationSecretRef: {name: push, key: token}
";

fn master() -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "Master",
        "metadata": {"name": "main"},
        "spec": {"url": "http://localhost:8010/"},
    })
}

fn read(folder: &Path) -> Result<Manifests, Vec<ManifestError>> {
    load(&[folder], &LoadOptions::default())
}

fn names(manifests: &Manifests) -> Vec<&str> {
    manifests.documents.iter().map(|document| document.resource.name()).collect()
}

#[test]
fn a_folder_is_read_in_the_order_of_names_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("2.yml", &PUSH.replace("  authorizationSecretRef: {name: push, key: token}\n", ""));
    write("1.json", &serde_json::to_string_pretty(&master()).unwrap());
    write("3.yaml", "# nothing but a comment\n");
    write("notes.txt", "apiVersion: [");
    let loaded = read(folder.path()).unwrap();
    assert_eq!(names(&loaded), ["main", "push"]);
    assert_eq!(loaded.documents[1].resource.master().unwrap().name, "main");
    assert_eq!(loaded.documents[1].line, 1);
}

#[test]
fn what_kubectl_get_prints_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = master();
    live["metadata"] = json!({
        "name": "main",
        "namespace": "ci",
        "uid": "6f0a",
        "resourceVersion": "12",
        "generation": 1,
        "creationTimestamp": "2026-11-23T20:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
    });
    live["status"] = json!({"observedGeneration": 1});
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [live]});
    std::fs::write(folder.path().join("list.yaml"), list.to_string()).unwrap();
    let loaded = read(folder.path()).unwrap();
    assert_eq!(loaded.documents[0].resource.namespace(), Some("ci"));
}

#[test]
fn other_programs_kinds_are_skipped_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{}\n---\napiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: ConfigMap\n",
        master()
    );
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let loaded = read(folder.path()).unwrap();
    assert_eq!(names(&loaded), ["main"]);
    let note = &loaded.notes[0];
    assert_eq!(loaded.notes.len(), 1);
    assert_eq!(note.line, 3);
    assert_eq!(note.message, "skipped: Deployment of apps/v1 is none of this program's kinds");
}

#[test]
fn secrets_come_from_documents_and_from_a_folder_or_may_be_absent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push.yaml");
    let reference = SecretKeyRef { name: "push".into(), key: "token".into() };
    let token =
        |loaded: &Manifests| loaded.secrets.get(&reference).unwrap().expose().unwrap().to_owned();

    std::fs::write(&file, format!("{}\n---\n{PUSH}", master())).unwrap();
    assert!(read(&file).is_err());
    let without = LoadOptions { without_secrets: true, ..LoadOptions::default() };
    assert_eq!(names(&load(&[&file], &without).unwrap()), ["main", "push"]);

    let secrets = folder.path().join("secrets");
    std::fs::create_dir_all(secrets.join("push")).unwrap();
    std::fs::write(secrets.join("push/token"), "Bearer folder\n").unwrap();
    let with = LoadOptions { secrets: Some(secrets), ..LoadOptions::default() };
    assert_eq!(token(&load(&[&file], &with).unwrap()), "Bearer folder");

    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: push}\ndata:\n  token: QmVhcmVyIDE=\n";
    std::fs::write(&file, format!("{}\n---\n{PUSH}---\n{secret}", master())).unwrap();
    assert_eq!(token(&read(&file).unwrap()), "Bearer 1");

    let (data, plain) = ("data: {token: QmVhcmVyIDE=}\n", "stringData: {token: Bearer 2}\n");
    for (first, second) in [(data, plain), (plain, data)] {
        let secret =
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: push}}\n{first}{second}");
        std::fs::write(&file, format!("{}\n---\n{PUSH}---\n{secret}", master())).unwrap();
        assert_eq!(token(&read(&file).unwrap()), "Bearer 2", "as in a cluster: {secret}");
    }
}

#[test]
fn a_value_may_be_null_and_means_unset() {
    let folder = tempfile::tempdir().unwrap();
    let pages = "apiVersion: statustargets.dev/v1alpha1\nkind: WebStatus\nmetadata: {name: pages}\n\
                 spec:\n  masterRef: {name: main}\n  httpPort:\n  title: ~\n";
    std::fs::write(folder.path().join("a.yaml"), format!("{}\n---\n{pages}", master())).unwrap();
    let loaded = read(folder.path()).unwrap();
    let Resource::WebStatus(pages) = &loaded.documents[1].resource else { panic!("{loaded:?}") };
    assert_eq!(pages.spec.http_port, Listen::Tcp { port: 8010, interface: None });
    assert_eq!(pages.spec.title, None);
}

#[test]
fn w01_two_pages_on_one_port_are_refused_if_both_would_take_its_connections() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pages.yaml");
    let pages = |name: &str, spec: Value| {
        let mut spec = spec;
        spec["masterRef"] = json!({"name": "main"});
        let (version, metadata) = (crds::API_VERSION, json!({"name": name}));
        json!({"apiVersion": version, "kind": "WebStatus", "metadata": metadata, "spec": spec})
    };
    let at = |interface: &str| json!({"httpPort": format!("tcp:8010:interface={interface}")});
    let any = || json!({"httpPort": 8010});
    let suspended = || json!({"httpPort": 8010, "suspend": true});
    for (one, other, refused) in [
        (any(), any(), true),
        (any(), at("127.0.0.1"), true),
        (any(), at(r"\:\:1"), true),
        (at("0.0.0.0"), at("127.0.0.1"), true),
        (at(r"\:\:"), at("127.0.0.1"), true),
        (at("127.0.0.1"), at("127.0.0.1"), true),
        (at("127.0.0.1"), at("127.0.0.2"), false),
        (at("0.0.0.0"), at(r"\:\:1"), false),
        (any(), json!({"httpPort": 8011}), false),
        (any(), suspended(), false),
    ] {
        for (first, second) in [(&one, &other), (&other, &one)] {
            let (first, second) = (pages("one", first.clone()), pages("two", second.clone()));
            std::fs::write(&file, format!("{}\n---\n{first}\n---\n{second}\n", master())).unwrap();
            let errors = read(&file).err().unwrap_or_default();
            let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
            let wanted: &[&str] = if refused { &["spec.httpPort"] } else { &[] };
            assert_eq!(fields, wanted, "{first} {second}");
        }
    }
}

/// Replaces the value that `choice` picks among all of a document's.
fn damage(value: &mut Value, choice: &mut usize, by: &Value) {
    if *choice == 0 {
        *value = by.clone();
    }
    *choice = choice.wrapping_sub(1);
    match value {
        Value::Object(members) => members.values_mut().for_each(|v| damage(v, choice, by)),
        Value::Array(items) => items.iter_mut().for_each(|v| damage(v, choice, by)),
        _ => {}
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9:/@.%{} é\n]{0,20}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!(["failing", 1])),
        Just(json!({"name": "x", "key": "y"})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_damaged_manifest_is_read_or_refused_with_places(
        kind in 0..4_usize, choice in 0..60_usize, by in any_value()
    ) {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/full");
        let loaded = load(&[examples], &LoadOptions::default()).unwrap();
        let mut document = match &loaded.documents[kind].resource {
            Resource::Master(object) => serde_json::to_value(object),
            Resource::WebStatus(object) => serde_json::to_value(object),
            Resource::MailNotifier(object) => serde_json::to_value(object),
            Resource::HttpPush(object) => serde_json::to_value(object),
            Resource::StatusPush(object) => serde_json::to_value(object),
            Resource::GerritPush(object) => serde_json::to_value(object),
            Resource::GitHubStatus(object) => serde_json::to_value(object),
        }
        .unwrap();
        let mut choice = choice;
        damage(&mut document, &mut choice, &by);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("damaged.json");
        std::fs::write(&file, document.to_string()).unwrap();
        if let Err(errors) = load(&[file], &LoadOptions::default()) {
            prop_assert!(errors.iter().all(|error| error.line > 0), "{errors:?}");
        }
    }
}
