//! `StatusPush`: one pod that runs somebody's program.

use super::targets::{Sender, TargetPods};
use crate::reconcile::Problem;
use crds::{MasterRef, StatusPush, TargetStatus};
use serde_json::json;

impl Sender for StatusPush {
    const COMPONENT: &'static str = "status-push";
    const KIND: &'static str = "StatusPush";

    fn master(&self) -> &MasterRef {
        &self.spec.master_ref
    }

    fn said(&self) -> Option<&TargetStatus> {
        self.status.as_ref()
    }

    fn pods(&self) -> TargetPods<'_> {
        let spec = &self.spec;
        TargetPods {
            program: Some(spec.image.as_deref().unwrap_or_default()),
            // The program needs some too.
            resources: json!({
                "requests": { "cpu": "10m", "memory": "48Mi" },
                "limits": { "memory": "256Mi" },
            }),
            ..TargetPods::sending(spec, (spec.pod.as_ref(), spec.egress.as_ref()), None)
        }
    }

    fn faults(&self) -> Vec<Problem> {
        let message = "spec.image: in a cluster, name the image that the command is in, such as \
                       docker.io/library/python:3.13-slim";
        let missing = || Problem::field("ImageMissing", message.to_owned());
        self.spec.image.is_none().then(missing).into_iter().collect()
    }
}
