//! `GerritPush`: one pod that reviews.

use super::targets::{Sender, TargetPods};
use crds::{GerritPush, MasterRef, TargetStatus};

impl Sender for GerritPush {
    const COMPONENT: &'static str = "gerrit";
    const KIND: &'static str = "GerritPush";

    fn master(&self) -> &MasterRef {
        &self.spec.master_ref
    }

    fn said(&self) -> Option<&TargetStatus> {
        self.status.as_ref()
    }

    fn pods(&self) -> TargetPods<'_> {
        let spec = &self.spec;
        let peer = match &spec.http {
            Some(http) => super::port_of(&http.url),
            None => Some(spec.port),
        };
        TargetPods::sending(spec, (spec.pod.as_ref(), spec.egress.as_ref()), peer)
    }
}
