//! What is to run: documents sorted by the master that they are about. Pure.

use crds::{
    Listen, Master, WebStatus,
    manifest::{Document, Resource},
};
use model::Links;
use std::path::PathBuf;

/// One master and everything that is told of it.
#[derive(Clone, Debug)]
pub struct MasterPlan {
    /// The master's name.
    pub name: String,
    /// Its namespace; `default` where the document has none.
    pub namespace: String,
    /// The master.
    pub master: Master,
    /// Pages.
    pub pages: Vec<WebStatus>,
    /// Targets that send.
    pub targets: Vec<Resource>,
}

/// Why documents can't run together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to follow.
    #[error(
        "no Master among the documents: a document of kind Master says which Buildbot master to follow"
    )]
    NoMaster,
    /// More or less than one target, where one is run.
    #[error(
        "a target runs one resource that is no Master, and the documents have {found}: run a target \
         for each, or a standalone for all"
    )]
    NotOne {
        /// What there is.
        found: String,
    },
}

/// The one document that is no Master.
///
/// # Errors
/// [`PlanError::NotOne`].
pub fn one(documents: Vec<Document>) -> Result<Resource, PlanError> {
    let resources = documents.into_iter().map(|document| document.resource);
    let targets: Vec<Resource> =
        resources.filter(|resource| !matches!(resource, Resource::Master(_))).collect();
    <[Resource; 1]>::try_from(targets).map(|[target]| target).map_err(|targets| {
        let named = |target: &Resource| format!("{} {:?}", target.kind(), target.name());
        let names: Vec<String> = targets.iter().map(named).collect();
        let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        PlanError::NotOne { found }
    })
}

/// Sorts documents by master, in the documents' order.
///
/// # Errors
/// [`PlanError`] for what only shows when documents are seen together.
pub fn plan(documents: Vec<Document>) -> Result<Vec<MasterPlan>, PlanError> {
    let mut plans: Vec<MasterPlan> = Vec::new();
    let namespace_of = |resource: &Resource| resource.namespace().unwrap_or("default").to_owned();
    for document in &documents {
        if let Resource::Master(master) = &document.resource {
            plans.push(MasterPlan {
                name: document.resource.name().to_owned(),
                namespace: namespace_of(&document.resource),
                master: master.clone(),
                pages: Vec::new(),
                targets: Vec::new(),
            });
        }
    }
    if plans.is_empty() {
        return Err(PlanError::NoMaster);
    }
    for document in documents {
        let Some(about) = document.resource.master().cloned() else { continue };
        let namespace = about.namespace.unwrap_or_else(|| namespace_of(&document.resource));
        // The reader of manifests has checked that the master exists.
        let Some(plan) =
            plans.iter_mut().find(|p| p.name == about.name && p.namespace == namespace)
        else {
            continue;
        };
        match document.resource {
            Resource::Master(_) => {}
            Resource::WebStatus(page) => plan.pages.push(page),
            target => plan.targets.push(target),
        }
    }
    Ok(plans)
}

impl MasterPlan {
    /// Where messages link to: the first WebStatus that says its address, else the first that
    /// listens on TCP, else the master's own pages.
    pub fn links(&self) -> Links {
        let address = |page: &WebStatus| match (&page.spec.url, &page.spec.http_port) {
            (Some(url), _) => Some(url.clone()),
            (None, Listen::Tcp { port, .. }) if *port != 0 => {
                Some(format!("http://localhost:{port}/"))
            }
            _ => None,
        };
        let said = self.pages.iter().find(|page| page.spec.url.is_some()).and_then(address);
        match said.or_else(|| self.pages.iter().find_map(address)) {
            Some(url) => Links::web_status(&url),
            None => Links::master(&self.master.spec.url),
        }
    }

    /// `NAMESPACE/NAME`, the label `master` of figures.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The master's folder below the data folder: `NAMESPACE/NAME`.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(&self.namespace).join(&self.name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn links(pages: &[serde_json::Value]) -> Links {
        let page = |spec: &serde_json::Value| {
            let mut spec = spec.clone();
            spec["masterRef"] = json!({"name": "main"});
            WebStatus::new("pages", serde_json::from_value(spec).unwrap())
        };
        let spec = json!({"url": "http://ci.example.org/"});
        let plan = MasterPlan {
            name: "main".to_owned(),
            namespace: "default".to_owned(),
            master: Master::new("main", serde_json::from_value(spec).unwrap()),
            pages: pages.iter().map(page).collect(),
            targets: Vec::new(),
        };
        plan.links()
    }

    #[test]
    fn messages_link_to_the_first_pages_that_have_an_address() {
        let socket = || json!({"httpPort": "unix:/run/pages.sock"});
        let port = || json!({"httpPort": 8010});
        let said = || json!({"httpPort": 8020, "url": "https://pages.example.org/"});
        let web = Links::web_status;
        assert_eq!(links(&[socket(), port()]), web("http://localhost:8010/"));
        assert_eq!(links(&[port(), said()]), web("https://pages.example.org/"));
        assert_eq!(links(&[socket()]), Links::master("http://ci.example.org/"));
        assert_eq!(links(&[]), Links::master("http://ci.example.org/"));
    }
}
