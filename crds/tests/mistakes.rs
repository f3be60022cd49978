//! A table of manifests with one mistake each, and the exact message each gets.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use crds::manifest::{LoadOptions, ManifestError, load};
use std::path::{Path, PathBuf};

fn mistakes(file: &Path) -> Vec<ManifestError> {
    load(&[file], &LoadOptions::default()).err().unwrap_or_default()
}

#[test]
fn every_mistake_is_reported_once_with_its_place_and_its_remedy() {
    let folder = support::file("tests/mistakes");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 40);
    let mut table = String::new();
    for file in files {
        let errors = mistakes(&file);
        assert_eq!(errors.len(), 1, "{}: {errors:#?}", file.display());
        let message = errors[0].to_string();
        assert!(!message.contains("hunter"), "a secret is shown: {message}");
        table.push_str(&message.replace(&format!("{}/", folder.display()), ""));
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_master_that_is_not_there_is_told_beside_the_documents_other_mistakes() {
    let text =
        std::fs::read_to_string(support::file("tests/mistakes/reference-master-misspelt.yaml"));
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = text.unwrap().replace("http://localhost:9000/submit", "localhost:9000");
    std::fs::write(file.path(), text).unwrap();
    let fields: Vec<String> = mistakes(file.path()).into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["spec.masterRef.name", "spec.serverUrl"]);
}

#[test]
fn all_mistakes_of_all_files_are_reported_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let bad = "apiVersion: statustargets.dev/v1alpha1\nkind: HttpPush\nmetadata: {name: push}\n\
               spec:\n  masterRef: {name: main}\n  serverURL: http://localhost/\n  chunkSize: 0\n";
    file("b.yaml", bad);
    file("a.yml", "[");
    file("c.txt", "not read");
    std::fs::create_dir(folder.path().join("d.yaml")).unwrap();
    let missing = folder.path().join("missing.yaml");
    let huge = file("huge", &"#".repeat(1_048_577));
    let binary = folder.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let empty = folder.path().join("d.yaml");
    let paths = [folder.path(), &missing, &huge, &binary, &empty];
    let errors = load(&paths, &LoadOptions::default()).unwrap_err();
    let prefix = format!("{}/", folder.path().display());
    let shown: Vec<_> = errors.iter().map(|e| e.to_string().replace(&prefix, "")).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_file_of_nothing_but_mistakes_has_a_bounded_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("many.yaml");
    let fields: String = (0..5000).map(|n| format!("  field{n}: 1\n")).collect();
    let head = "apiVersion: statustargets.dev/v1alpha1\nkind: Master\nmetadata: {name: m}\nspec:\n";
    std::fs::write(&file, format!("{head}  url: http://localhost/\n{fields}")).unwrap();
    let errors = mistakes(&file);
    assert_eq!(errors.len(), 101);
    assert_eq!(errors[100].message, "and 4900 more mistakes");
}
