//! `GerritPush`: one pod that reviews.

use super::{
    Kind,
    targets::{TargetPods, json, small, target_children, target_status},
};
use crate::{
    KeyError,
    children::{Child, Means},
    reconcile::{Around, Figures},
};
use crds::{GerritPush, MasterRef};
use feed::http::token::Right;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

impl Kind for GerritPush {
    const COMPONENT: &'static str = "gerrit";
    const KIND: &'static str = "GerritPush";
    const SENDS: bool = true;

    fn master_ref(&self) -> Option<&MasterRef> {
        Some(&self.spec.master_ref)
    }

    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, KeyError> {
        let pods = TargetPods {
            spec: json(&self.spec),
            pod: self.spec.pod.as_ref(),
            egress: self.spec.egress.as_ref(),
            program: None,
            peer: match &self.spec.http {
                Some(http) => super::port_of(&http.url),
                None => Some(self.spec.port),
            },
            port: None,
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
