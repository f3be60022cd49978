//! The rules of the kinds at a real API server: the same table of cases that the reader of manifests
//! is held to, and the rules about changes, which only a cluster has.

use crate::world::space;
use crds::manifest::{LoadOptions, load};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Deserialize)]
struct Case {
    rule: String,
    valid: Vec<Value>,
    invalid: Vec<Value>,
}

fn document(kind: &str, spec: &Value) -> String {
    json!({
        "apiVersion": crds::API_VERSION, "kind": kind, "metadata": {"name": "case"}, "spec": spec,
    })
    .to_string()
}

#[tokio::test]
async fn k01_an_api_server_refuses_what_the_reader_of_manifests_refuses() {
    let space = space("rules").await;
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/rules.yaml");
    let cases: Vec<Case> =
        serde_saphyr::from_str(&std::fs::read_to_string(table).unwrap()).unwrap();
    assert!(cases.len() > 15);
    for Case { rule, valid, invalid } in cases {
        let (kind, message) = rule.split_once(' ').unwrap();
        for spec in valid {
            let said = space.try_apply(&document(kind, &spec));
            assert!(said.is_ok(), "{rule}: {spec}: {said:?}");
            space.kubectl(&["delete", kind, "case", "--wait=false"]);
        }
        for spec in invalid {
            let said = space.try_apply(&document(kind, &spec)).unwrap_err();
            assert!(said.contains(message), "{rule}: {spec}: {said}");
        }
    }
}

#[tokio::test]
async fn k01_no_space_of_any_kind_is_in_an_address_at_an_api_server_and_in_a_file() {
    let space = space("spaces").await;
    let master = |url: &str| json!({"url": url});
    let push = |user: &str| json!({"masterRef": {"name": "main"}, "username": user, "http": {"url": "http://g/", "passwordSecretRef": {"name": "g", "key": "p"}}});
    let mail = |from: &str, lookup: &str| json!({"masterRef": {"name": "main"}, "fromaddr": from, "lookup": lookup});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.json");
    let options =
        LoadOptions { without_masters: true, without_secrets: true, ..LoadOptions::default() };
    let said = |kind: &str, spec: &Value| {
        let text = document(kind, spec);
        std::fs::write(&file, &text).unwrap();
        (space.try_apply(&text).is_ok(), load(&[&file], &options).is_ok())
    };
    // The last is of Unicode's spaces that no pattern names: both let it pass.
    for (blank, passes) in
        [(" ", false), ("\u{a0}", false), ("\u{85}", false), ("\u{7f}", false), ("\u{3000}", true)]
    {
        let (at, name) = (format!("a{blank}b@example.org"), format!("a{blank}b"));
        for (kind, spec) in [
            ("Master", master(&format!("http://example.org/a{blank}b"))),
            ("GerritPush", push(&name)),
            ("MailNotifier", mail(&at, "example.org")),
            ("MailNotifier", mail("b@example.org", &name)),
        ] {
            assert_eq!(said(kind, &spec), (passes, passes), "{kind} {spec}");
        }
    }
}

#[tokio::test]
async fn k01_what_can_not_be_changed_is_refused_and_the_rest_is_not() {
    let space = space("changes").await;
    let mail = |master: &str, subject: &str| json!({"masterRef": {"name": master}, "fromaddr": "b@example.org", "subject": subject});
    let master = |storage: Value| json!({"url": "http://localhost:8010/", "storage": storage});
    for (kind, before, after, refusal) in [
        ("MailNotifier", mail("a", "x"), mail("a", "y"), None),
        ("MailNotifier", mail("a", "x"), mail("b", "x"), Some("can't be changed, since its place")),
        ("Master", master(json!({"size": "2Gi"})), master(json!({"size": "3Gi"})), None),
        (
            "Master",
            master(json!({"size": "2Gi"})),
            master(json!({"size": "1Gi"})),
            Some("size can only grow"),
        ),
        (
            "Master",
            master(json!({"className": "a"})),
            master(json!({"className": "b"})),
            Some("className and ephemeral can't be changed"),
        ),
        (
            "Master",
            master(json!({})),
            master(json!({"ephemeral": true})),
            Some("className and ephemeral can't be changed"),
        ),
    ] {
        space.apply(&document(kind, &before));
        let said = space.try_apply(&document(kind, &after));
        match refusal {
            None => assert!(said.is_ok(), "{kind} {after}: {said:?}"),
            Some(words) => {
                let said = said.unwrap_err();
                assert!(said.contains(words), "{kind} {after}: {said}");
            }
        }
        space.kubectl(&["delete", kind, "case"]);
    }
}

#[tokio::test]
async fn k01_kubectl_lists_all_of_the_category_with_its_columns_and_explains_fields() {
    let space = space("columns").await;
    space.apply(crate::world::RESOURCES);
    let all = space.kubectl(&["get", "statustargets"]);
    for column in ["READY", "MASTER", "DELIVERED", "FAILED", "DEAD", "LAST", "AGE", "URL"] {
        assert!(all.contains(column), "{all}");
    }
    for short in ["bbm", "ws", "mn", "hp"] {
        space.kubectl(&["get", short]);
    }
    let explained = space.kubectl(&["explain", "mailnotifier.spec.smtpPort"]);
    assert!(explained.contains("The SMTP server's port."), "{explained}");
    space.kubectl(&["delete", "webstatus,mailnotifier,master", "--all"]);
}
