//! Who gets a mail: names from version control become addresses (M01, M07).

use super::lookup::{Directory, find, find_entry};
use crate::BuildError;
use crds::{Lookup, MailNotifierSpec, UserSource};
use lettre::{Address, message::Mailbox};
use model::Build;
use std::collections::{BTreeMap, BTreeSet};

/// The recipients' part of the settings.
#[derive(Debug)]
pub struct Recipients {
    interested: bool,
    way: Way,
    extra: Vec<Mailbox>,
}

/// How a name becomes an address.
#[derive(Debug)]
enum Way {
    Domain(String),
    Map(BTreeMap<String, String>),
    File(Directory),
    Users,
}

/// The `To` and `Cc` of one mail, without doubles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Addressed {
    pub to: Vec<Mailbox>,
    pub cc: Vec<Mailbox>,
    /// Interested users whose addresses are none, so that they get nothing.
    pub invalid: Vec<String>,
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
        let way = match &spec.lookup {
            Some(Lookup::Domain(domain)) => Way::Domain(domain.clone()),
            Some(Lookup::Map(map)) => Way::Map(map.clone()),
            Some(Lookup::File(file)) => Way::File(Directory::open(file)?),
            Some(Lookup::Users(UserSource::Master)) | None => Way::Users,
        };
        Ok(Self { interested: spec.send_to_interested_users, way, extra })
    }

    /// Names whose addresses the master's users may have; see [`super::lookup::users`].
    pub fn asked(&self, builds: &[Build]) -> BTreeSet<String> {
        if !self.interested || !matches!(self.way, Way::Users) {
            return BTreeSet::new();
        }
        users(builds).into_iter().filter(|user| !user.contains('@')).collect()
    }

    /// Interested users are the `To` and the extra recipients the `Cc`; where there are no
    /// interested users, the extra recipients are the `To`. `known` are addresses of the names
    /// that [`Self::asked`] gave.
    pub fn of(&self, builds: &[Build], known: &BTreeMap<String, String>) -> Addressed {
        let (mut to, mut invalid) = (Vec::new(), Vec::new());
        for user in if self.interested { users(builds) } else { BTreeSet::new() } {
            match self.address(&user, known) {
                Some(text) => match mailbox(&text) {
                    Some(mailbox) => to.push(mailbox),
                    None => invalid.push(user),
                },
                // Owners such as `alice` without a lookup are usual, so this is no warning.
                None => tracing::debug!(user, "no address for this user, left out"),
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
            Addressed { to: extra, cc: Vec::new(), invalid }
        } else {
            Addressed { to, cc: extra, invalid }
        }
    }

    /// What should be a user's address; `None` if the user is not known.
    fn address(&self, user: &str, known: &BTreeMap<String, String>) -> Option<String> {
        match &self.way {
            Way::Domain(domain) if !user.contains('@') => Some(format!("{}@{domain}", user.trim())),
            Way::Domain(_) => Some(user.to_owned()),
            Way::Users if user.contains('@') => Some(user.to_owned()),
            Way::Users => known.get(user).cloned(),
            Way::Map(map) => find(user, |name| map.get(name)).cloned(),
            Way::File(directory) => find_entry(user, &directory.entries()),
        }
    }
}

/// Authors of the changes and patches, and owners.
fn users(builds: &[Build]) -> BTreeSet<String> {
    let of = |build: &Build| {
        let mut users = build.owners();
        users.extend(build.blamelist().into_iter().map(str::to_owned));
        users
    };
    builds.iter().flat_map(of).collect()
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
    use crds::MailNotifierSpec;
    use model::{Build, Change, Properties, Property};
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

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
        let addressed = recipients(spec).of(std::slice::from_ref(build), &BTreeMap::new());
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
    }

    #[test]
    fn m07_names_without_an_address_are_asked_of_the_masters_users() {
        let builds = [build(&["Ann <ann@a.org>", "bea", "dan"], &["owner@a.org", "alice"])];
        let all = recipients(&json!({}));
        assert_eq!(Vec::from_iter(all.asked(&builds)), ["alice", "bea", "dan"]);
        let known =
            [("bea".to_owned(), "bea@b.org".to_owned()), ("dan".to_owned(), "d@d".to_owned())];
        let addressed = all.of(&builds, &known.into());
        let to: Vec<String> = addressed.to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["Ann <ann@a.org>", "bea@b.org", "owner@a.org"]);
        assert_eq!(addressed.invalid, ["dan"], "known, but no address");
        for other in [json!({"lookup": "a.org"}), json!({"lookup": {"map": {}}})] {
            assert!(recipients(&other).asked(&builds).is_empty(), "{other}");
        }
    }

    #[test]
    fn m07_an_address_that_is_none_is_told_and_the_others_get_their_mail() {
        let build = build(&["Ann Adams", "bea"], &["dan@localhost"]);
        let addressed = recipients(&json!({"lookup": "a.org"})).of(&[build], &BTreeMap::new());
        let to: Vec<String> = addressed.to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["bea@a.org"]);
        assert_eq!(addressed.invalid, ["Ann Adams", "dan@localhost"]);
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
