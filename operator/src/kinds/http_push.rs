//! `HttpPush`: one pod that posts.

use super::targets::{Sender, TargetPods};
use crds::{HttpPush, MasterRef, TargetStatus};

impl Sender for HttpPush {
    const COMPONENT: &'static str = "http-push";
    const KIND: &'static str = "HttpPush";

    fn master(&self) -> &MasterRef {
        &self.spec.master_ref
    }

    fn said(&self) -> Option<&TargetStatus> {
        self.status.as_ref()
    }

    fn pods(&self) -> TargetPods<'_> {
        let spec = &self.spec;
        let peer = super::port_of(&spec.server_url);
        TargetPods::sending(spec, (spec.pod.as_ref(), spec.egress.as_ref()), peer)
    }
}
