//! The images that tests run.

use super::{Cluster, cache, said, script};
use crate::{binary, python};
use std::{env, path::Path, sync::Mutex};

/// Names of images that the cluster has.
#[derive(Clone, Debug)]
pub struct Images {
    /// The program under test.
    pub program: String,
    /// The tests' peers: a Buildbot master with workers, an SMTP server, a receiver of pushes.
    pub lab: String,
}

/// Test programs that run at once share the files.
static FILES: Mutex<()> = Mutex::new(());

impl Images {
    /// Makes and imports them, unless the cluster is somebody's own.
    pub(super) fn of(cluster: &Cluster) -> Self {
        if cluster.in_network().is_none() {
            let name = |variable: &str| {
                env::var(variable).unwrap_or_else(|_| {
                    panic!("{variable} is not set: it names an image that the cluster has")
                })
            };
            return Self { program: name("E2E_IMAGE"), lab: name("E2E_LAB_IMAGE") };
        }
        let _one_at_a_time = FILES.lock().unwrap();
        let images = Self {
            program: "localhost/buildbot-status:e2e".to_owned(),
            lab: "localhost/buildbot-lab:e2e".to_owned(),
        };
        cluster.import_program(binary(), &images.program, "program.tar");
        let lab = cache().join("lab.tar");
        said(script("lab-image.sh").arg(python()).arg(&images.lab).arg(&lab)).unwrap();
        cluster.import(&lab);
        images
    }
}

impl Cluster {
    /// Makes an image of a program, keeps it in this file of the cache, and puts it into the cluster.
    pub(super) fn import_program(&self, program: &Path, image: &str, file: &str) {
        let file = cache().join(file);
        said(script("program-image.sh").arg(program).arg(image).arg(&file)).unwrap();
        self.import(&file);
    }
}
