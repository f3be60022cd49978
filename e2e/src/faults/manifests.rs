//! The documents that the processes run. Waits are as short as the resources let them be.

use super::system::Ports;
use crate::manifests;

/// The master's UID in a cluster.
pub const UID: &str = "6c1f2f0e-0000-4000-8000-00000000fa17";

/// Says which build a mail is about.
const BODY: &str = "messageFormatter:
  body: \"{{ number }}|{{ started_at }}|{{ builder.name }}|{{ reason }}\"";

/// The master.
pub fn master(port: u16) -> String {
    manifests::master(port, Some(UID), "reconcileInterval: 2s")
}

/// Mail about every build that has a result; the body says which one.
pub fn mail(smtp: u16) -> String {
    manifests::mail(smtp, BODY)
}

/// Where pushes go.
pub fn push_url(http: u16) -> String {
    format!("http://127.0.0.1:{http}/push")
}

/// Pushes of everything.
pub fn push(http: u16) -> String {
    manifests::push(&push_url(http))
}

/// All of them, and pages.
pub fn all(ports: Ports, pages: u16) -> String {
    let pages = manifests::pages(pages, "");
    [master(ports.master), pages, mail(ports.smtp), push(ports.http)].join("---\n")
}
