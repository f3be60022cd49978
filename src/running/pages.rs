//! Pages: a view that follows the feed, and the server that shows it.

use super::{Running, StartError, make};
use crds::WebStatus;
use feed::AnyFeed;
use std::sync::Arc;
use webui::{listen, server::App, view};

/// A server of pages that runs.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The WebStatus's name.
    pub name: String,
    /// Where it can be opened.
    pub url: String,
}

impl Running {
    pub(super) async fn start_pages(
        &mut self,
        feed: &AnyFeed,
        resource: &WebStatus,
    ) -> Result<(), StartError> {
        let name = resource.metadata.name.clone().unwrap_or_default();
        let spec = &resource.spec;
        if spec.suspend {
            tracing::info!(kind = "WebStatus", name, "suspended: its pages are not served");
            return Ok(());
        }
        let site = make::site(&name, spec)?;
        let shared = view::Shared::default();
        let limits = view::Limits::default();
        self.tasks.spawn(view::follow(shared.clone(), feed.clone(), limits, self.cancel.clone()));
        let app = Arc::new(App::new(shared, site, feed.clone()));
        let listening = listen::bind(&spec.http_port)
            .await
            .map_err(|source| StartError::Listen { name: name.clone(), source })?;
        let url = spec.url.clone().unwrap_or_else(|| for_people(&listening.address()));
        let serving = listening.serve(webui::server::router(app), self.cancel.clone());
        let who = name.clone();
        self.tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(
                    kind = "WebStatus",
                    name = who,
                    "the pages are no longer served: {error}"
                );
            }
        });
        self.pages.push(Pages { name, url });
        Ok(())
    }
}

/// An address that listens everywhere is opened here as `localhost`.
fn for_people(address: &str) -> String {
    address.replacen("//0.0.0.0:", "//localhost:", 1).replacen("//[::]:", "//localhost:", 1)
}
