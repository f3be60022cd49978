//! Who gets a mail: names from version control become addresses (M01, M07).

use crate::BuildError;
use crds::{Lookup, MailNotifierSpec, UserSource};
use lettre::{Address, message::Mailbox};
use model::{Build, short_name};
use std::collections::BTreeSet;

/// The recipients' part of the settings.
#[derive(Clone, Debug)]
pub struct Recipients {
    interested: bool,
    lookup: Lookup,
    extra: Vec<Mailbox>,
}

/// The `To` and `Cc` of one mail, without doubles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addressed {
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
}

impl Recipients {
    pub fn new(spec: &MailNotifierSpec) -> Result<Self, BuildError> {
        let mut extra = Vec::new();
        for (i, text) in spec.extra_recipients.iter().enumerate() {
            let mailbox = given(text).ok_or_else(|| {
                let field = format!("spec.extraRecipients[{i}]");
                BuildError::new(field, format!("{text:?} is no address such as ann@example.org"))
            })?;
            extra.push(mailbox);
        }
        Ok(Self {
            interested: spec.send_to_interested_users,
            lookup: spec.lookup.clone().unwrap_or(Lookup::Users(UserSource::Master)),
            extra,
        })
    }

    /// Interested users are the `To` and the extra recipients the `Cc`; where there are no
    /// interested users, the extra recipients are the `To`.
    pub fn of(&self, build: &Build) -> Addressed {
        let mut to = Vec::new();
        if self.interested {
            let owners = build.owners();
            let users = build.blamelist().into_iter().chain(owners.iter().map(String::as_str));
            for user in users {
                match self.address(user) {
                    Some(mailbox) => to.push(mailbox),
                    // Owners such as `alice` without a lookup are usual, so this is no warning.
                    None => tracing::debug!(user, "no address for this user, left out"),
                }
            }
        }
        let mut seen = BTreeSet::new();
        let mut unique = |mut all: Vec<Mailbox>| {
            all.sort_by_key(ToString::to_string);
            // A mailbox with a name wins over the bare address.
            all.sort_by_key(|mailbox| mailbox.name.is_none());
            all.retain(|mailbox| seen.insert(mailbox.email.to_string().to_lowercase()));
            all.sort_by_key(ToString::to_string);
            all
        };
        let to = unique(to);
        let extra = unique(self.extra.clone());
        if to.is_empty() {
            Addressed { to: extra, cc: Vec::new() }
        } else {
            Addressed { to, cc: extra }
        }
    }

    fn address(&self, user: &str) -> Option<Mailbox> {
        let text = match &self.lookup {
            Lookup::Domain(domain) if !user.contains('@') => format!("{}@{domain}", user.trim()),
            Lookup::Domain(_) | Lookup::Users(UserSource::Master) => user.to_owned(),
            Lookup::Map(map) => {
                let bare =
                    user.rsplit_once('<').map_or(user, |(_, rest)| rest.trim_end_matches('>'));
                [user, short_name(user), bare].into_iter().find_map(|key| map.get(key))?.clone()
            }
        };
        mailbox(&text)
    }
}

/// An address, with a name before it or without. Buildbot's rule: the domain has a dot. Of git's
/// `ann@laptop@example.org` the part after the last `@` is cut off, as 0.8 did.
pub fn mailbox(text: &str) -> Option<Mailbox> {
    given(text).filter(|mailbox| mailbox.email.domain().contains('.'))
}

/// As [`mailbox`], for addresses that somebody set: `root@localhost` is one.
pub fn given(text: &str) -> Option<Mailbox> {
    let text = text.trim();
    // Longer ones are no addresses (RFC 5321 §4.5.3.1) and would only be logged at length.
    if text.len() > 1000 || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let text = match text.rmatch_indices('@').nth(1) {
        Some(_) => text.rsplit_once('@').map_or(text, |(before, _)| before),
        None => text,
    };
    let (name, address) = match text.rsplit_once('<') {
        Some((name, rest)) => (name, rest.split_once('>').map_or(rest, |(address, _)| address)),
        None => ("", text),
    };
    let address: Address = address.trim().parse().ok()?;
    let name = one_line(name.trim().trim_matches('"'));
    Some(Mailbox::new(Some(name).filter(|name| !name.is_empty()), address))
}

/// Text for a header or a line: no control characters, so nothing can begin a new one.
pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Recipients, mailbox, one_line};
    use crds::{Lookup, MailNotifierSpec};
    use model::{Build, Change, Properties, Property};
    use proptest::prelude::*;
    use serde_json::json;

    fn recipients(spec: &serde_json::Value) -> Recipients {
        let mut all = json!({"masterRef": {"name": "m"}, "fromaddr": "bot@example.org"});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        Recipients::new(&serde_json::from_value::<MailNotifierSpec>(all).unwrap()).unwrap()
    }

    fn build(authors: &[&str], owners: &[&str]) -> Build {
        let change = |author: &&str| Change { author: (*author).to_owned(), ..Change::default() };
        let owners = Property(json!(owners), "Scheduler".into());
        Build {
            changes: authors.iter().map(change).collect(),
            properties: Properties([("owners".to_owned(), owners)].into()),
            ..Build::default()
        }
    }

    fn lists(spec: &serde_json::Value, build: &Build) -> (Vec<String>, Vec<String>) {
        let addressed = recipients(spec).of(build);
        let text =
            |all: Vec<lettre::message::Mailbox>| all.iter().map(ToString::to_string).collect();
        (text(addressed.to), text(addressed.cc))
    }

    #[test]
    fn m01_interested_users_are_to_and_extra_recipients_cc() {
        let build = build(&["Bea <bea@example.org>", "Ann <ann@example.org>"], &[]);
        let extra = json!({"extraRecipients": ["list@example.org", "ann@example.org"]});
        let (to, cc) = lists(&extra, &build);
        assert_eq!(to, ["Ann <ann@example.org>", "Bea <bea@example.org>"]);
        assert_eq!(cc, ["list@example.org"], "nobody gets it twice");
    }

    #[test]
    fn m01_without_interested_users_the_extra_recipients_are_to() {
        let spec = json!({"sendToInterestedUsers": false, "extraRecipients": ["list@example.org"]});
        let (to, cc) = lists(&spec, &build(&["Ann <ann@example.org>"], &[]));
        assert_eq!((to, cc), (vec!["list@example.org".to_owned()], vec![]));
        let (to, cc) =
            lists(&json!({"extraRecipients": ["list@example.org"]}), &build(&["ann"], &[]));
        assert_eq!((to, cc), (vec!["list@example.org".to_owned()], vec![]));
    }

    #[test]
    fn m07_a_domain_is_appended_to_names_without_one_owners_included() {
        let build = build(&["ann", "Bea <bea@other.org>"], &["cyd", "dan@other.org"]);
        let (to, _) = lists(&json!({"lookup": "example.org"}), &build);
        let expected =
            ["Bea <bea@other.org>", "ann@example.org", "cyd@example.org", "dan@other.org"];
        assert_eq!(to, expected);
    }

    #[test]
    fn m07_a_map_knows_whole_authors_names_and_addresses_and_drops_others() {
        let map = json!({"lookup": {"map": {"ann": "ann@a.org", "Bea": "b@b.org", "c@x.org": "c@c.org"}}});
        let build = build(&["ann", "Bea <bea@x.org>", "Cyd <c@x.org>", "dan"], &[]);
        assert_eq!(lists(&map, &build).0, ["ann@a.org", "b@b.org", "c@c.org"]);
    }

    #[test]
    fn m07_without_a_lookup_addresses_in_the_names_are_used() {
        let build = build(&["Ann <ann@a.org>", "nobody"], &["owner@a.org", "alice"]);
        assert_eq!(lists(&json!({}), &build).0, ["Ann <ann@a.org>", "owner@a.org"]);
        assert_eq!(recipients(&json!({})).lookup, Lookup::Users(crds::UserSource::Master));
    }

    #[test]
    fn what_is_no_address_is_dropped() {
        for (text, expected) in [
            ("ann@example.org", Some("ann@example.org")),
            (" Ann B. <ann@example.org> ", Some("\"Ann B.\" <ann@example.org>")),
            ("ann@laptop@example.org", None),
            ("ann@example.org@laptop", Some("ann@example.org")),
            ("\"Ann\" <ann@example.org>", Some("Ann <ann@example.org>")),
            ("ann", None),
            ("ann@localhost", None),
            ("<>", None),
            ("", None),
            ("a b@example.org", None),
            ("Eve\r\nBcc: x@example.org <eve@example.org>", None),
            ("Eve\r\nBcc: x <eve@example.org>", Some("\"Eve Bcc: x\" <eve@example.org>")),
            ("Eve <eve@example.org\r\nRCPT TO:<x@example.org>", None),
        ] {
            let got = mailbox(text).map(|m| m.to_string());
            assert_eq!(got.as_deref(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_second_line(text in "(\\PC|[\r\n<>@\". a-z]){0,60}") {
            prop_assert!(!one_line(&text).contains(['\r', '\n']));
            if let Some(mailbox) = mailbox(&text) {
                prop_assert!(!mailbox.to_string().contains(['\r', '\n']));
            }
        }
    }
}
