//! What is read of an object: its metadata, and of Deployments and StatefulSets how they fare.

use serde::{Deserialize, Serialize};

/// How a Deployment or StatefulSet fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pods that are wanted.
    pub wanted: i32,
    /// Pods of the present form that are ready.
    pub ready: i32,
    /// Whether its controller has seen its present form.
    pub observed: bool,
}

/// An object of the operator's: its metadata, and of its pods what is of interest, if it has any.
/// All else is skipped as it is read.
pub type Object = kube::core::Object<Option<Pods>, Running>;

/// Of the `spec` of a Deployment or StatefulSet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pods {
    /// Pods that are wanted.
    pub replicas: Option<i32>,
}

/// Of the `status` of a Deployment or StatefulSet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods of the present form.
    pub updated_replicas: i32,
    /// What its controller has seen.
    pub observed_generation: i64,
}

/// How a Deployment or StatefulSet fares.
pub fn workload(object: &Object) -> Workload {
    let status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    Workload {
        wanted: object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        ready: status.ready_replicas.min(status.updated_replicas),
        observed: status.observed_generation >= generation,
    }
}
