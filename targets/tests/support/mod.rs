//! Builds of a real 4.3 master, and what tests say of settings.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod events;
pub mod github;
pub mod peers;

use model::{Backoff, Build, Event, Identity, Links, Position, Record};
use render::Site;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use targets::About;

/// A build from `tests/data`, recorded from a real master.
pub fn build(name: &str) -> Build {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub fn record(event: Event, seq: u64) -> Record {
    Record {
        position: Position { epoch: 1, seq },
        identity: Identity::of(&event, "0d3c", 1, seq),
        journaled_ms: 1_795_412_400_042,
        event,
    }
}

pub fn finished(name: &str) -> Record {
    record(Event::BuildFinished { build: Box::new(build(name)) }, 1)
}

/// What a mail needs beside its record, as far as the record has it.
pub fn facts(mail: &targets::mail::Mail, record: &Record) -> targets::mail::Facts {
    use delivery::Target as _;
    use futures_util::FutureExt as _;
    let gathered = mail.gather(record).now_or_never();
    gathered.expect("nobody is asked without a feed").unwrap()
}

/// What `check` shows of a build where it has no feed.
pub fn previews(mail: &targets::mail::Mail, build: &Build) -> Vec<targets::Preview> {
    use futures_util::FutureExt as _;
    mail.preview(build).now_or_never().expect("nobody is asked without a feed")
}

pub fn site() -> Site {
    Site {
        title: "Project".into(),
        title_url: "http://project.example.org/".into(),
        links: Some(Links::web_status("http://ci.example.org/bb/")),
    }
}

pub fn about() -> About {
    About { site: site(), ..About::default() }
}

/// A spec of its required settings and these.
pub fn spec<T: serde::de::DeserializeOwned>(required: Value, more: &Value) -> T {
    let mut all = required;
    all["masterRef"] = json!({ "name": "main" });
    let fields = all.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

pub fn mail_spec(more: &Value) -> crds::MailNotifierSpec {
    spec(json!({ "fromaddr": "Buildbot <bot@example.org>" }), more)
}

pub fn push_spec(url: &str, more: &Value) -> crds::HttpPushSpec {
    spec(json!({ "serverUrl": url, "allowPrivateAddresses": true }), more)
}

pub fn program_spec(command: &[&str], more: &Value) -> crds::StatusPushSpec {
    spec(json!({ "command": command }), more)
}

pub fn github_spec(url: &str, more: &Value) -> crds::GitHubStatusSpec {
    let required = json!({ "repoOwner": "example", "repoName": "project", "baseUrl": url });
    spec(required, more)
}

pub fn metrics() -> delivery::Metrics {
    delivery::Metrics::default()
}

/// Waits of milliseconds.
pub fn quick() -> Backoff {
    Backoff::new(Duration::from_millis(2), Duration::from_millis(20))
}
