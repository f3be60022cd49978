//! Versions of the project: charts, and an image that the cluster has.

use super::Cluster;
use std::{
    env,
    path::{Path, PathBuf},
};

/// A version of the project.
#[derive(Clone, Debug)]
pub struct Version {
    charts: PathBuf,
    image: String,
}

impl Version {
    /// The present one.
    pub fn present(cluster: &Cluster) -> Self {
        let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
        Self { charts, image: cluster.images().program.clone() }
    }

    /// The one of the commit that `e2e/upgrade-from` names.
    ///
    /// # Errors
    /// Where there is none, says why.
    pub fn previous(cluster: &Cluster) -> Result<Self, &'static str> {
        if cluster.in_network().is_none() {
            return Err("somebody's own cluster has no image of an earlier version");
        }
        let folder = env::var_os("E2E_PREVIOUS").map(PathBuf::from).ok_or(
            "E2E_PREVIOUS is not set: cargo xtask sets it where the clone has the commit that \
             e2e/upgrade-from names",
        )?;
        // Named by its commit, so that no image of another version has its tag.
        let commit = folder.file_name().unwrap().to_str().unwrap();
        let image = format!("localhost/buildbot-status:{commit}");
        cluster.import_program(&folder.join("buildbot-status"), &image, "previous.tar");
        Ok(Self { charts: folder.join("charts"), image })
    }

    /// A chart's folder.
    pub fn chart(&self, name: &str) -> String {
        self.charts.join(name).to_str().unwrap().to_owned()
    }

    /// The image of operator, feeds and targets.
    pub fn image(&self) -> &str {
        &self.image
    }
}
