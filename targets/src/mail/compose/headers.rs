//! Headers of a mail, and identifiers that follow from events.

use super::{HEADER, one_line};
use lettre::message::{
    Mailbox,
    header::{HeaderName, HeaderValue},
};
use model::Identity;
use render::Interpolation;
use sha2::{Digest, Sha256};

/// Stable for the same record and notifier (RFC 5322 §3.6.4), and different for two notifiers,
/// since servers drop a second mail with the same one.
pub fn message_id(notifier: &str, from: &Mailbox, identity: &Identity) -> String {
    let hash = digest(&format!("{notifier}\n{identity}"));
    format!("<{}-{}.{hash}@{}>", identity.kind, identity.id, from.email.domain())
}

/// What the mails of one builder refer to, so that they are shown as one thread. No mail has this
/// identifier itself: there is none that is the first for ever.
pub fn thread_id(notifier: &str, from: &Mailbox, identity: &Identity, thread: &str) -> String {
    let Identity { master, database, .. } = identity;
    let hash = digest(&format!("{notifier}\n{master}/{database}/{thread}"));
    format!("<thread.{hash}@{}>", from.email.domain())
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// `Auto-Submitted` tells other machines not to answer (RFC 3834 §5), `List-Id` names the
/// notifier for filters (RFC 2919): `<NAME.NAMESPACE.DOMAIN>`.
pub fn own(notifier: &str, from: &Mailbox) -> [HeaderValue; 2] {
    let labels: Vec<&str> = notifier.rsplit('/').collect();
    let list = format!("<{}.{}>", labels.join("."), from.email.domain());
    [
        HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ),
        HeaderValue::new(HeaderName::new_from_ascii_str("List-Id"), list),
    ]
}

/// Headers that are the mail's own business.
const OWN: [&str; 14] = [
    "from",
    "to",
    "cc",
    "bcc",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "auto-submitted",
    "references",
    "in-reply-to",
    "subject",
];

/// RFC 5322 §3.6.8: printable ASCII without the colon.
fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Why a name of the settings can be no header's, whatever is filled in; long ones are found out in use.
pub fn check(name: &Interpolation) -> Result<(), &'static str> {
    let known = name.texts().all(is_name);
    let whole = || name.texts().collect::<String>();
    if known && (!name.is_fixed() || HeaderName::new_from_ascii(whole()).is_ok()) {
        return Ok(());
    }
    Err(
        "no header can have this name: write up to 76 letters, digits and -, without spaces and colons",
    )
}

/// A header of the settings; `None`, with a line in the log, where it can't be one.
pub fn extra(name: &str, value: &str) -> Option<HeaderValue> {
    let refused = |why| {
        tracing::warn!(header = name, why, "extra header left out");
        None
    };
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return refused("the mail has its own");
    }
    if !is_name(name) {
        return refused("no header's name");
    }
    match HeaderName::new_from_ascii(name.to_owned()) {
        Ok(name) => Some(HeaderValue::new(name, one_line(value).chars().take(HEADER).collect())),
        Err(_) => refused("no header's name"),
    }
}
