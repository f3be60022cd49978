//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

/// A file of this crate.
pub fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Fails when a generated file is not what it should be; writes it when `UPDATE_GENERATED=1`.
pub fn same(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
        return;
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == wanted,
        "{} is out of date: run UPDATE_GENERATED=1 cargo test -p crds",
        path.display()
    );
}
