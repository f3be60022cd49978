//! Names of objects, labels and annotations.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The field manager of everything that the operator applies, and the value of the label
/// `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "buildbot-status-operator";
/// The label by which the operator finds its objects.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that says what a resource's objects do: `feed`, `web`, `mail`, ….
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label with the resource's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Hash of what was applied, to tell whether something else is wanted now.
pub const APPLIED: &str = "statustargets.dev/applied";
/// In a pod: kind and name of its resource.
pub const OWNER: &str = "statustargets.dev/owner";
/// In a pod: hash of its manifest. A changed one makes a new pod.
pub const MANIFEST: &str = "statustargets.dev/manifest";
/// In a pod: hash of the Secrets' versions. Changed ones make a new pod.
pub const SECRETS: &str = "statustargets.dev/secrets";
/// Keeps a Master until no resource names it.
pub const IN_USE: &str = "statustargets.dev/in-use";

/// What a StatefulSet's name may have at most, so that its pods' labels hold it.
const NAME: usize = 52;
/// What a label's value may have at most.
const LABEL: usize = 63;
/// How many letters of a hash tell long names apart.
const HASH: usize = 8;

/// The name of a resource's objects: `buildbot-COMPONENT-NAME`. Names that are long or have dots,
/// which a Service can't have, end in a hash, so that no two resources share one.
pub fn child(component: &str, name: &str) -> String {
    let full = format!("buildbot-{component}-{name}");
    if full.len() <= NAME && !full.contains('.') {
        return full;
    }
    short(&full.replace('.', "-"), name, NAME)
}

/// A label's value for a name: itself where it fits.
pub fn label(name: &str) -> String {
    if name.len() <= LABEL { name.to_owned() } else { short(name, name, LABEL) }
}

/// Object names are ASCII, so bytes are characters.
fn short(text: &str, whole: &str, most: usize) -> String {
    let keep = text.len().min(most - HASH - 1);
    let kept = text[..keep].trim_end_matches(['-', '.']);
    format!("{kept}-{}", hash(whole))
}

/// The first letters of a text's hash.
pub fn hash(text: &str) -> String {
    let mut hash = hex(&Sha256::digest(text));
    hash.truncate(HASH);
    hash
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The labels that select a resource's pods. They never change.
pub fn selector(component: &str, name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "buildbot-status".to_owned()),
        (INSTANCE.to_owned(), label(name)),
        (COMPONENT.to_owned(), component.to_owned()),
    ])
}

/// The labels of every object of a resource.
pub fn labels(component: &str, name: &str) -> BTreeMap<String, String> {
    let mut labels = selector(component, name);
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_name_is_kept_and_a_long_one_ends_in_a_hash() {
        assert_eq!(child("mail", "main"), "buildbot-mail-main");
        let long = "a-name-that-goes-on-and-on-until-no-label-can-hold-it-any-more";
        let short = child("http-push", long);
        assert!(short.len() <= NAME && short.ends_with(&hash(long)), "{short}");
        assert_ne!(child("mail", "a.b"), child("mail", "a-b"));
    }

    proptest! {
        #[test]
        fn every_name_of_an_object_makes_a_name_of_a_service(name in "[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?") {
            let child = child("http-push", &name);
            prop_assert!(child.len() <= NAME);
            prop_assert!(child.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!child.ends_with('-'));
            prop_assert!(label(&name).len() <= LABEL);
        }
    }
}
