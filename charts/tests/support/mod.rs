//! What the tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The charts: first the kinds, then the operator.
pub const CHARTS: [&str; 2] = ["buildbot-status-crds", "buildbot-status-operator"];

/// A chart's folder.
pub fn chart(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A file or folder of the repository.
pub fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name)
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a folder.
pub fn names(folder: &Path) -> BTreeSet<String> {
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// One YAML document.
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Fails when a generated file is not what it should be; writes it when `UPDATE_GENERATED=1`.
pub fn same(path: &Path, wanted: &str) {
    if env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path, wanted).unwrap();
        return;
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == wanted, "{} is out of date: run cargo xtask generate", path.display());
}

/// A program that `cargo xtask tools` installs.
pub fn tool(name: &str) -> Command {
    Command::new(
        env::var_os("KCACHE")
            .map_or_else(|| name.into(), |cache| Path::new(&cache).join("bin").join(name)),
    )
}

/// What a command prints, if it succeeds.
pub fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask tools installs it"));
    let said =
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}
