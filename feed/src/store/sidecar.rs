//! A small file beside the database that outlives its loss: which epoch it had, and where its
//! consumers stood. Only read when there is no database or a damaged one.

use model::Position;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// What is known of a journal that is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sidecar {
    pub epoch: u32,
    pub master: String,
    pub consumers: BTreeMap<String, Stood>,
}

/// Where a consumer stood when the file was last written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stood {
    pub floor: Position,
    pub backlog: u64,
    pub generation: u64,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("journal.json")
}

/// The sidecar of a directory, if there is a readable one.
pub(crate) fn load(dir: &Path) -> Option<Sidecar> {
    let text = fs::read(path(dir)).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(%error, "journal.json is unreadable and ignored"))
        .ok()
}

/// Replaces the sidecar in one step.
pub(crate) fn save(dir: &Path, sidecar: &Sidecar) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(sidecar)?;
    let fresh = dir.join("journal.json.new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(fresh, path(dir))
}
