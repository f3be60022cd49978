//! What is to run: documents sorted by the master that they are about. Pure.

use crds::{
    Listen, Master, WebStatus,
    manifest::{Document, Resource, Source},
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
    pub master: Placed<Master>,
    /// Pages.
    pub pages: Vec<Placed<WebStatus>>,
    /// Targets that send.
    pub targets: Vec<Placed<Resource>>,
}

/// A resource, and where it stands in the manifests.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// What it says.
    pub resource: T,
    /// Where its fields stand.
    pub source: Source,
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
pub fn one(documents: Vec<Document>) -> Result<Placed<Resource>, PlanError> {
    let placed =
        documents.into_iter().map(|Document { resource, source, .. }| Placed { resource, source });
    let targets: Vec<Placed<Resource>> =
        placed.filter(|placed| !matches!(placed.resource, Resource::Master(_))).collect();
    <[Placed<Resource>; 1]>::try_from(targets).map(|[target]| target).map_err(|targets| {
        let named = |target: &Resource| format!("{} {:?}", target.kind(), target.name());
        let names: Vec<String> = targets.iter().map(|target| named(&target.resource)).collect();
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
                master: Placed { resource: master.clone(), source: document.source.clone() },
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
        let source = document.source;
        match document.resource {
            Resource::Master(_) => {}
            Resource::WebStatus(resource) => plan.pages.push(Placed { resource, source }),
            resource => plan.targets.push(Placed { resource, source }),
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
        let pages = || self.pages.iter().map(|page| &page.resource);
        let said = pages().find(|page| page.spec.url.is_some()).and_then(address);
        match said.or_else(|| pages().find_map(address)) {
            Some(url) => Links::web_status(&url),
            None => Links::master(&self.master.resource.spec.url),
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
    use crds::manifest::LoadOptions;
    use serde_json::json;

    fn links(pages: &[serde_json::Value]) -> Links {
        let document = |kind: &str, name: String, spec: serde_json::Value| {
            let version = crds::API_VERSION;
            let metadata = json!({"name": name});
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
        };
        let master = json!({"url": "http://ci.example.org/"});
        let mut text = document("Master", "main".to_owned(), master).to_string();
        for (at, page) in pages.iter().enumerate() {
            let mut spec = page.clone();
            spec["masterRef"] = json!({"name": "main"});
            text += &format!("\n---\n{}", document("WebStatus", format!("pages-{at}"), spec));
        }
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let read = crds::manifest::load(&[file.path()], &LoadOptions::default()).unwrap();
        plan(read.documents).unwrap()[0].links()
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
