//! The documents that the processes run. Waits are as short as the resources let them be.

use super::system::Ports;

/// The master's UID in a cluster.
pub const UID: &str = "6c1f2f0e-0000-4000-8000-00000000fa17";

/// The master.
pub fn master(port: u16) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main, uid: {UID}}}
spec:
  url: http://127.0.0.1:{port}/
  reconcileInterval: 2s
"
    )
}

/// Mail about every build that has a result; the body says which one.
pub fn mail(smtp: u16) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: MailNotifier
metadata: {{name: mail}}
spec:
  masterRef: {{name: main}}
  fromaddr: buildbot@example.org
  sendToInterestedUsers: false
  extraRecipients: [list@example.org]
  mode: [failing, passing, warnings, exception]
  relayhost: 127.0.0.1
  smtpPort: {smtp}
  messageFormatter:
    body: \"{{{{ number }}}}|{{{{ started_at }}}}|{{{{ builder.name }}}}|{{{{ reason }}}}\"
"
    )
}

/// Pushes of everything.
pub fn push(http: u16) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: HttpPush
metadata: {{name: push}}
spec:
  masterRef: {{name: main}}
  serverUrl: http://127.0.0.1:{http}/push
  bufferDelay: 200ms
  retryDelay: 1s
"
    )
}

/// All of them, and pages.
pub fn all(ports: Ports, pages: u16) -> String {
    let pages = format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {{name: pages}}
spec:
  masterRef: {{name: main}}
  httpPort: tcp:{pages}:interface=127.0.0.1
"
    );
    [master(ports.master), pages, mail(ports.smtp), push(ports.http)].join("---\n")
}
