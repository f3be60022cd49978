//! `WebStatus`: pods that serve pages, and how they are reached.

use super::{
    Kind,
    targets::{TargetPods, json, target_children},
};
use crate::{
    KeyError,
    children::{
        Child, ChildKind, Means, autoscaler, disruption_budget, http_route, ingress, pages_service,
    },
    reconcile::{Around, Figures, Problem},
};
use crds::{Listen, MasterRef, WebStatus, WebStatusSpec, WebStatusStatus};
use feed::http::token::Right;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json as object};

/// The port that pods serve pages at, where a Service can reach it.
fn port(spec: &WebStatusSpec) -> Option<u16> {
    match spec.http_port {
        Listen::Tcp { port, interface } if port != 0 => {
            interface.is_none_or(|address| address.is_unspecified()).then_some(port)
        }
        _ => None,
    }
}

impl Kind for WebStatus {
    const COMPONENT: &'static str = "web";
    const KIND: &'static str = "WebStatus";
    const SENDS: bool = false;

    fn master_ref(&self) -> Option<&MasterRef> {
        Some(&self.spec.master_ref)
    }

    fn url(&self) -> Option<String> {
        let spec = &self.spec;
        let ingress = spec.ingress.as_ref().map(|ingress| {
            let scheme = if ingress.tls_secret_name.is_some() { "https" } else { "http" };
            format!("{scheme}://{}/", ingress.host)
        });
        let route = spec.http_route.as_ref().and_then(|route| {
            let scheme = if route.tls { "https" } else { "http" };
            let host = route.hostnames.iter().find(|host| !host.starts_with('*'))?;
            Some(format!("{scheme}://{host}/"))
        });
        spec.url.clone().or(ingress).or(route)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if port(&self.spec).is_none() {
            problems.push(Problem::field(
                "InvalidPort",
                format!(
                    "spec.httpPort: \"{}\" can't be reached from outside the pod: in a cluster, \
                     write a port, such as 8010",
                    self.spec.http_port
                ),
            ));
        }
        problems
    }

    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, KeyError> {
        let spec = &self.spec;
        let replicas = match (&spec.autoscaling, spec.suspend) {
            (_, true) => Some(0),
            // A number that is no longer asked for becomes one pod until the autoscaler looks. So what
            // there is is asked for until it says another.
            (Some(scaling), false) => {
                around.replicas.map(|has| has.max(scaling.min_replicas).min(scaling.max_replicas))
            }
            (None, false) => Some(spec.replicas),
        };
        let pods = TargetPods {
            spec: json(spec),
            pod: spec.pod.as_ref(),
            egress: None,
            peer: None,
            program: None,
            port: port(spec),
            replicas,
            rights: &[Right::Read],
            resources: object!({
                "requests": { "cpu": "20m", "memory": "64Mi" },
                "limits": { "memory": "256Mi" },
            }),
        };
        let mut children = target_children(self, &pods, around, means)?;
        if around.master.is_none() {
            return Ok(children);
        }
        let parent = self.parent();
        children.push(pages_service(&parent, &spec.service));
        if let Some(budget) = &spec.disruption_budget {
            children.push(disruption_budget(&parent, budget));
        }
        if let Some(scaling) = spec.autoscaling.as_ref().filter(|_| !spec.suspend) {
            children.push(autoscaler(&parent, scaling));
        }
        if let Some(settings) = &spec.ingress {
            children.push(ingress(&parent, settings));
        }
        if let Some(settings) = &spec.http_route
            && means.has(ChildKind::HTTPRoute)
        {
            children.push(http_route(&parent, settings, &spec.service));
        }
        Ok(children)
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn present_status(&self) -> Value {
        json(&self.status)
    }

    fn status(&self, conditions: &[Condition], _: &Around, _: Option<&Figures>) -> Value {
        let port = match self.spec.service.port {
            80 => String::new(),
            other => format!(":{other}"),
        };
        let (name, namespace) = (self.parent().child_name(), self.namespace().unwrap_or_default());
        let inside = || format!("http://{name}.{namespace}.svc{port}/");
        json(&WebStatusStatus {
            observed_generation: self.meta().generation,
            conditions: conditions.to_vec(),
            url: Some(self.url().unwrap_or_else(inside)),
        })
    }
}
