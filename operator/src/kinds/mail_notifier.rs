//! `MailNotifier`: one pod that mails.

use super::targets::{Sender, TargetPods};
use crds::{MailNotifier, MasterRef, TargetStatus};

impl Sender for MailNotifier {
    const COMPONENT: &'static str = "mail";
    const KIND: &'static str = "MailNotifier";

    fn master(&self) -> &MasterRef {
        &self.spec.master_ref
    }

    fn said(&self) -> Option<&TargetStatus> {
        self.status.as_ref()
    }

    fn pods(&self) -> TargetPods<'_> {
        let spec = &self.spec;
        let peer = Some(spec.smtp_port);
        TargetPods::sending(spec, (spec.pod.as_ref(), spec.egress.as_ref()), peer)
    }
}
