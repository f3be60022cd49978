//! What the processes say when they are asked.

use super::{System, Topology};
use crate::faults::manifests;
use std::{collections::BTreeSet, time::Duration};

impl System {
    /// Whether the mail and the push have their places in the journal, by the feed's figures.
    pub async fn consumers(&self) -> [bool; 2] {
        let text = self.figures().await;
        ["mail/mail", "http_push/push"]
            .map(|consumer| text.contains(&format!("consumer=\"{consumer}\"")))
    }

    /// Whether the master is read at present.
    pub async fn is_connected(&self) -> bool {
        let text = self.figures().await;
        let mut lines =
            text.lines().filter(|line| line.starts_with("buildbot_status_master_connected"));
        lines.any(|line| line.ends_with(" 1"))
    }

    /// Dead letters of the mail's consumer and of the push's.
    pub async fn dead_letters(&self) -> [u64; 2] {
        let text = self.figures().await;
        ["mail/mail", "http_push/push"].map(|consumer| {
            let label = format!("consumer=\"{consumer}\"");
            let name = "buildbot_status_feed_consumer_dead_letters{";
            let line = text.lines().find(|line| line.starts_with(name) && line.contains(&label));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
        })
    }

    /// Whether the journal has every one of these builds, which are all that the master's database
    /// has finished.
    pub async fn knows(&self, builds: &BTreeSet<u64>) -> bool {
        match self.topology {
            Topology::Standalone => {
                let url =
                    format!("http://127.0.0.1:{}/one_line_per_build?numbuilds=1000", self.pages);
                let page = self.get(&url, "").await;
                page.contains(&format!("the last {} to finish", builds.len()))
            }
            Topology::Split => {
                let token = self.token(
                    &self.folder.join("keys"),
                    manifests::UID,
                    "look",
                    "WebStatus",
                    &["read"],
                );
                let url = format!("http://127.0.0.1:{}/v1/builds", self.feed_port);
                let answer: serde_json::Value =
                    serde_json::from_str(&self.get(&url, &token).await).unwrap_or_default();
                let known = answer["builds"].as_array().into_iter().flatten();
                let known: BTreeSet<u64> = known.filter_map(|build| build["id"].as_u64()).collect();
                builds.is_subset(&known)
            }
        }
    }

    /// The body of an answer; empty if there is none.
    async fn get(&self, url: &str, token: &str) -> String {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        match request.timeout(Duration::from_secs(5)).send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// What the process with the journal says at `/metrics`; empty while it does not answer.
    async fn figures(&self) -> String {
        self.get(&format!("http://{}/metrics", self.metrics()), "").await
    }

    /// An address whose stream somebody may read slowly: pages or feed, and its request.
    pub fn stream(&self) -> (u16, String) {
        match self.topology {
            Topology::Standalone => {
                (self.pages, "GET /live/waterfall HTTP/1.1\r\nHost: pages\r\n\r\n".to_owned())
            }
            Topology::Split => {
                let keys = self.folder.join("keys");
                let token = self.token(&keys, manifests::UID, "slow", "WebStatus", &["read"]);
                let head = format!(
                    "GET /v1/events HTTP/1.1\r\nHost: feed\r\nAuthorization: Bearer {token}\r\n"
                );
                (self.feed_port, format!("{head}Accept: text/event-stream\r\n\r\n"))
            }
        }
    }
}
