//! The reference pages and the examples.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use crds::manifest::{LoadOptions, Manifests, Resource, load};
use serde_json::Value;
use std::collections::BTreeSet;

fn examples(name: &str) -> Manifests {
    let folder = support::file("../docs/examples").join(name);
    load(&[folder], &LoadOptions::default()).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>())
    })
}

fn spec(resource: &Resource) -> Value {
    let mut spec = match resource {
        Resource::Master(object) => serde_json::to_value(&object.spec),
        Resource::WebStatus(object) => serde_json::to_value(&object.spec),
        Resource::MailNotifier(object) => serde_json::to_value(&object.spec),
        Resource::HttpPush(object) => serde_json::to_value(&object.spec),
        Resource::StatusPush(object) => serde_json::to_value(&object.spec),
        Resource::GerritPush(object) => serde_json::to_value(&object.spec),
        Resource::GitHubStatus(object) => serde_json::to_value(&object.spec),
    }
    .unwrap();
    spec.sort_all_objects();
    spec
}

#[test]
fn reference_pages_are_what_the_types_say() {
    let folder = support::file("../docs/reference");
    for (name, page) in crds::reference().unwrap() {
        support::same(&folder.join(name), &page);
    }
}

#[test]
fn the_shortest_examples_load_and_show_every_default() {
    let loaded = examples("minimal");
    let shown: Vec<_> = loaded
        .documents
        .iter()
        .map(|d| {
            format!(
                "{}\n{}",
                d.resource.kind(),
                serde_json::to_string_pretty(&spec(&d.resource)).unwrap()
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_longest_examples_load_and_use_every_field() {
    let loaded = examples("full");
    assert_eq!(loaded.documents.len(), 7);
    // Fields that another one of the example excludes.
    let excluded: BTreeSet<_> = [
        "MailNotifier categories",
        "MailNotifier useTls",
        "HttpPush builders",
        "HttpPush contentMode",
        "StatusPush builders",
        "GerritPush builders",
        "GerritPush http",
        "GitHubStatus builders",
        "GitHubStatus tokenSecretRef",
    ]
    .into();
    for document in &loaded.documents {
        let kind = document.resource.kind();
        let text = std::fs::read_to_string(&document.file).unwrap();
        let definition = crds::definitions().unwrap().into_iter().find(|d| d.kind == kind).unwrap();
        let properties = definition.schema()["properties"]["spec"]["properties"].clone();
        for field in properties.as_object().unwrap().keys() {
            let used = text.contains(&format!("\n  {field}:"));
            let excluded = excluded.contains(format!("{kind} {field}").as_str());
            assert!(used != excluded, "{kind} {field}");
        }
    }
}

#[test]
fn the_manifest_of_the_readme_loads() {
    let readme = std::fs::read_to_string(support::file("../README.md")).unwrap();
    let manifest = readme.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status.yaml");
    std::fs::write(&file, manifest).unwrap();
    let loaded = load(&[file], &LoadOptions::default()).unwrap();
    let kinds: Vec<_> = loaded.documents.iter().map(|d| d.resource.kind()).collect();
    assert_eq!(kinds, ["Master", "WebStatus", "MailNotifier", "HttpPush", "StatusPush"]);
}

#[test]
fn manifests_of_the_how_tos_load() {
    let mut loaded = 0;
    for entry in support::file("../docs/how-to").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap();
        // Parts of manifests are shown too: those that begin one are whole.
        let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        for block in blocks.filter(|block| block.starts_with("apiVersion: ")) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("status.yaml");
            std::fs::write(&file, block).unwrap();
            let options =
                LoadOptions { secrets: None, without_secrets: true, without_masters: true };
            let errors = load(&[file], &options).err();
            assert!(errors.is_none(), "{}: {errors:?}\n{block}", path.display());
            loaded += 1;
        }
    }
    assert!(loaded >= 2, "{loaded}");
}

#[test]
fn what_is_written_reads_back_as_the_same_resource() {
    for name in ["minimal", "full"] {
        for document in examples(name).documents {
            let (before, after) = match document.resource {
                Resource::MailNotifier(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::MailNotifier(object),
                        Resource::MailNotifier(serde_json::from_value(json).unwrap()),
                    )
                }
                Resource::Master(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::Master(object),
                        Resource::Master(serde_json::from_value(json).unwrap()),
                    )
                }
                Resource::WebStatus(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::WebStatus(object),
                        Resource::WebStatus(serde_json::from_value(json).unwrap()),
                    )
                }
                Resource::StatusPush(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::StatusPush(object),
                        Resource::StatusPush(serde_json::from_value(json).unwrap()),
                    )
                }
                Resource::HttpPush(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::HttpPush(object),
                        Resource::HttpPush(serde_json::from_value(json).unwrap()),
                    )
                }
                Resource::GerritPush(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::GerritPush(object),
                        Resource::GerritPush(serde_json::from_value(json).unwrap()),
                    )
                }
                Resource::GitHubStatus(object) => {
                    let json = serde_json::to_value(&object).unwrap();
                    (
                        Resource::GitHubStatus(object),
                        Resource::GitHubStatus(serde_json::from_value(json).unwrap()),
                    )
                }
            };
            assert_eq!(before, after);
        }
    }
}
