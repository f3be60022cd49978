//! `StatusPush`: one pod that runs somebody's program.

use super::{
    Kind,
    targets::{TargetPods, json, target_children, target_status},
};
use crate::{
    KeyError,
    children::{Child, Means},
    reconcile::{Around, Figures, Problem},
};
use crds::{MasterRef, StatusPush};
use feed::http::token::Right;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

impl Kind for StatusPush {
    const COMPONENT: &'static str = "status-push";
    const KIND: &'static str = "StatusPush";
    const SENDS: bool = true;

    fn master_ref(&self) -> Option<&MasterRef> {
        Some(&self.spec.master_ref)
    }

    fn problems(&self) -> Vec<Problem> {
        let message = "spec.image: in a cluster, name the image that the command is in, such as \
                       docker.io/library/python:3.13-slim";
        let missing = || Problem::field("ImageMissing", message.to_owned());
        self.spec.image.is_none().then(missing).into_iter().collect()
    }

    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, KeyError> {
        let pods = TargetPods {
            spec: json(&self.spec),
            pod: self.spec.pod.as_ref(),
            egress: self.spec.egress.as_ref(),
            peer: None,
            program: Some(self.spec.image.as_deref().unwrap_or_default()),
            port: None,
            replicas: Some(1),
            rights: &[Right::Read, Right::Consume],
            // The program needs some too.
            resources: serde_json::json!({
                "requests": { "cpu": "10m", "memory": "48Mi" },
                "limits": { "memory": "256Mi" },
            }),
        };
        target_children(self, &pods, around, means)
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn present_status(&self) -> Value {
        json(&self.status)
    }

    fn status(&self, conditions: &[Condition], _: &Around, figures: Option<&Figures>) -> Value {
        target_status(self, conditions, figures, self.status.as_ref())
    }
}
