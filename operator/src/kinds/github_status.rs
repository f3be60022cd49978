//! `GitHubStatus`: one pod that tells GitHub.

use super::targets::{Sender, TargetPods};
use crds::{GitHubStatus, MasterRef, TargetStatus};

impl Sender for GitHubStatus {
    const COMPONENT: &'static str = "github";
    const KIND: &'static str = "GitHubStatus";

    fn master(&self) -> &MasterRef {
        &self.spec.master_ref
    }

    fn said(&self) -> Option<&TargetStatus> {
        self.status.as_ref()
    }

    fn pods(&self) -> TargetPods<'_> {
        let spec = &self.spec;
        let peer = super::port_of(&spec.base_url);
        TargetPods::sending(spec, (spec.pod.as_ref(), spec.egress.as_ref()), peer)
    }
}
