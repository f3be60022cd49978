//! `GitHubStatus`: one pod that tells GitHub.

use super::{
    Kind,
    targets::{TargetPods, json, small, target_children, target_status},
};
use crate::{
    KeyError,
    children::{Child, Means},
    reconcile::{Around, Figures},
};
use crds::{GitHubStatus, MasterRef};
use feed::http::token::Right;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

impl Kind for GitHubStatus {
    const COMPONENT: &'static str = "github";
    const KIND: &'static str = "GitHubStatus";
    const SENDS: bool = true;

    fn master_ref(&self) -> Option<&MasterRef> {
        Some(&self.spec.master_ref)
    }

    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, KeyError> {
        let pods = TargetPods {
            spec: json(&self.spec),
            pod: self.spec.pod.as_ref(),
            egress: self.spec.egress.as_ref(),
            peer: super::port_of(&self.spec.base_url),
            port: None,
            program: None,
            replicas: Some(1),
            rights: &[Right::Read, Right::Consume],
            resources: small(),
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
