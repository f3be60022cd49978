//! Manifests and the texts within them, changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::{
    Duration, Listen, Size,
    manifest::{LoadOptions, ManifestError, Manifests, Resource, load},
};
use fuzz::{bytes, check, text};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The documents that the project shows.
fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

const WORDS: &[&str] = &[
    "\n---\n",
    "\n",
    "\n  ",
    "\n- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "? ",
    "|\n",
    ">-\n",
    "!!str ",
    "!!binary ",
    "%YAML 1.2\n",
    "# ",
    "spec:",
    "metadata:",
    "name: ",
    "mode: ",
    "~",
    "0x1f",
    "0o17",
    ".inf",
    ".nan",
    "1_000",
    "yes",
    "builders: []",
    "'''",
    "\\x00",
    "\\ud800",
    "7d",
    "-3s",
    "4Ki",
    "%(prop:x)s",
    "{{ x }}",
    "(a+)+$",
    "tcp:8080:interface=127.0.0.1",
    "https://u:p@h/?q#f",
];

fn read(file: &Path, bytes: &[u8]) -> Result<Manifests, Vec<ManifestError>> {
    fs::write(file, bytes).unwrap();
    // What other files have is not at hand.
    let options =
        LoadOptions { without_secrets: true, without_masters: true, ..LoadOptions::default() };
    load(&[file], &options)
}

/// A resource as a document.
fn document(resource: &Resource) -> Value {
    match resource {
        Resource::Master(it) => json!(it),
        Resource::WebStatus(it) => json!(it),
        Resource::MailNotifier(it) => json!(it),
        Resource::HttpPush(it) => json!(it),
        Resource::StatusPush(it) => json!(it),
        Resource::GerritPush(it) => json!(it),
        Resource::GitHubStatus(it) => json!(it),
    }
}

#[test]
fn any_bytes_give_documents_or_mistakes_with_a_place_in_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let (file, again) = (folder.path().join("all.yaml"), folder.path().join("again.yaml"));
    check(50, bytes(&examples(), WORDS), |bytes| {
        match read(&file, &bytes) {
            Ok(manifests) => {
                let resources: Vec<&Resource> =
                    manifests.documents.iter().map(|document| &document.resource).collect();
                let list: Vec<Value> =
                    resources.iter().map(|resource| document(resource)).collect();
                let text = json!({"apiVersion": "v1", "kind": "List", "items": list}).to_string();
                if list.is_empty() || text.len() as u64 > crate::manifest::MAX_FILE {
                    return;
                }
                let read = read(&again, text.as_bytes()).unwrap_or_else(|errors| {
                    panic!("what is written is not read: {errors:?}: {text}")
                });
                let read: Vec<&Resource> = read.documents.iter().map(|d| &d.resource).collect();
                assert_eq!(read, resources);
            }
            Err(errors) => {
                let text = String::from_utf8_lossy(&bytes);
                // YAML ends lines with a lone carriage return, too.
                let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
                for error in errors {
                    assert_eq!(error.file, file);
                    assert!(error.line <= lines, "{error} in {lines} lines");
                    assert!(error.column <= text.chars().count() + 1, "{error}");
                    assert_eq!(error.line == 0, error.column == 0, "{error}");
                    assert!(!error.message.is_empty());
                    let said = error.to_string();
                    assert!(said.len() < 4000, "{} bytes: {said}", said.len());
                    let control = |c: char| c.is_control() && c != '\n';
                    assert!(!said.chars().any(control), "{said:?}");
                }
            }
        }
    });
}

#[test]
fn any_text_is_a_value_or_an_error_and_a_value_is_written_as_it_is_read() {
    let corpus = ["7d", "1h30m", "90s", "1500ms", "4Gi", "256Ki", "1.5Mi", "100M", "12", "0"];
    check(
        3000,
        text(&corpus, &["d", "h", "m", "s", "ms", "Ki", "Gi", "E", "Ei", ".", "-"]),
        |text| {
            // Beyond tens of thousands of years the last seconds are left out.
            let years = |duration: &Duration| duration.get().as_secs() / (365 * 24 * 3600);
            if let Ok(duration) = text.parse::<Duration>()
                && years(&duration) < 30_000
            {
                assert_eq!(
                    duration.to_string().parse::<Duration>().unwrap(),
                    duration,
                    "{duration}"
                );
            }
            if let Ok(size) = text.parse::<Size>() {
                assert_eq!(size.to_string().parse::<Size>().unwrap(), size, "{size}");
            }
        },
    );
    let corpus = ["8010", "tcp:8010:interface=127.0.0.1", "unix:/run/x.sock:mode=660", "tcp:80"];
    check(2000, text(&corpus, &["tcp:", "unix:", ":interface=", "\\:", "mode="]), |text| {
        let _ = text.parse::<Listen>();
    });
}
