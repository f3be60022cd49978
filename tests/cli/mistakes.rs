//! A table of manifests with one mistake each that the reader of manifests can't see, and the exact
//! message each gets. What the reader sees has its table in `crds/tests`.

use super::{program, text};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What a command says of a file, in one line.
fn said(command: &mut Command, file: &Path) -> String {
    let Output { status, stderr, .. } = command.arg("-f").arg(file).output().unwrap();
    let said = text(&stderr);
    assert_eq!(status.code(), Some(2), "{command:?}: {said}");
    assert!(!said.contains("hunter"), "a secret is shown: {said}");
    let folder = format!("{}/", file.parent().unwrap().display());
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with(&folder)).collect();
    assert_eq!(lines.len(), 1, "{}: {said}", file.display());
    lines[0].replace(&folder, "")
}

#[test]
fn every_mistake_that_shows_in_use_is_told_with_its_file_line_resource_and_field() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/mistakes");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    let data = tempfile::tempdir().unwrap();
    let mut table = String::new();
    for file in files {
        let mut standalone = program();
        standalone.args(["standalone", "--metrics", "127.0.0.1:0", "--data"]).arg(data.path());
        let checked = said(program().arg("check"), &file);
        assert_eq!(checked, said(&mut standalone, &file));
        table += &format!("{checked}\n");
    }
    insta::assert_snapshot!(table);
}
