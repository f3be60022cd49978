//! Documents of resources that tests run: as little as makes each work, and lines that a test adds.

/// A document; `spec` is its lines, not indented.
fn document(kind: &str, metadata: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: statustargets.dev/v1alpha1\nkind: {kind}\nmetadata: {{{metadata}}}\nspec:\n{spec}"
    )
}

/// A document that belongs to the master `main`; `more` is lines of its spec.
fn belonging(kind: &str, name: &str, spec: &str, more: &str) -> String {
    document(kind, &format!("name: {name}"), &format!("masterRef: {{name: main}}\n{spec}\n{more}"))
}

/// The master `main` at a port of loopback, with a UID if it has one.
pub fn master(port: u16, uid: Option<&str>, more: &str) -> String {
    let uid = uid.map(|uid| format!(", uid: {uid}")).unwrap_or_default();
    let spec = format!("url: http://127.0.0.1:{port}/\n{more}");
    document("Master", &format!("name: main{uid}"), &spec)
}

/// Pages at a port of loopback.
pub fn pages(port: u16, more: &str) -> String {
    let spec = format!("httpPort: tcp:{port}:interface=127.0.0.1");
    belonging("WebStatus", "pages", &spec, more)
}

/// Mail about every build that has a result, to one list.
pub fn mail(smtp: u16, more: &str) -> String {
    let spec = format!(
        "fromaddr: buildbot@example.org
sendToInterestedUsers: false
extraRecipients: [list@example.org]
mode: [failing, passing, warnings, exception]
relayhost: 127.0.0.1
smtpPort: {smtp}"
    );
    belonging("MailNotifier", "mail", &spec, more)
}

/// Pushes of everything, soon.
pub fn push(url: &str) -> String {
    let spec = format!(
        "serverUrl: {url}\nallowPrivateAddresses: true\nbufferDelay: 200ms\nretryDelay: 1s"
    );
    belonging("HttpPush", "push", &spec, "")
}

/// A master with pages, mail about everything and pushes of everything.
pub fn manifests(master_port: u16, smtp: u16, push_url: &str) -> String {
    let pages = pages(0, "url: http://status.example.org/");
    [master(master_port, None, ""), pages, mail(smtp, ""), push(push_url)].join("---\n")
}
