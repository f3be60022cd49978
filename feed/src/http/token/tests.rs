//! What is accepted, and what is not.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Claims, Keys, KeysError, Kind, MAX_BYTES, Right, TokenError};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn folder(keys: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, key) in keys {
        fs::write(dir.path().join(name), key).unwrap();
    }
    dir
}

fn keys(keys: &[(&str, &str)]) -> Keys {
    Keys::from_dir(folder(keys).path()).unwrap()
}

fn claims() -> Claims {
    Claims {
        master_uid: "uid".into(),
        consumer: "mail/main".into(),
        kind: Kind::new("MailNotifier"),
        rights: [Right::Read, Right::Consume].into(),
        expires: Some(1_000),
    }
}

/// A token with another header, signed over it or not.
fn with_header(header: &str, token: &str) -> String {
    let rest = token.split_once('.').unwrap().1;
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

#[test]
fn what_was_signed_is_verified_until_it_expires() {
    let keys = keys(&[("1", KEY)]);
    let token = keys.sign(&claims());
    assert_eq!(keys.verify_at(&token, "uid", 999), Ok(claims()));
    assert_eq!(keys.verify_at(&token, "uid", 1_000), Err(TokenError::Expired));
    assert_eq!(keys.verify(&token, "uid"), Err(TokenError::Expired));
    let eternal = keys.sign(&Claims { expires: None, ..claims() });
    assert_eq!(keys.verify_at(&eternal, "uid", i64::MAX).unwrap().expires, None);
}

#[test]
fn a_token_for_another_master_is_refused() {
    let keys = keys(&[("1", KEY)]);
    let token = keys.sign(&claims());
    assert_eq!(keys.verify_at(&token, "uid2", 0), Err(TokenError::OtherMaster));
    assert_eq!(keys.verify_at(&token, "", 0), Err(TokenError::OtherMaster));
}

#[test]
fn keys_differ_by_name_and_by_content() {
    let other = KEY.replace('0', "1");
    let both = || keys(&[("1", KEY), ("2", &other)]);
    assert_eq!(both(), both());
    assert_eq!(keys(&[("1", KEY)]), keys(&[("1", &format!("{KEY}\n"))]), "white space is no part");
    for changed in [
        keys(&[("1", KEY), ("2", KEY)]),
        keys(&[("1", &other), ("2", &other)]),
        keys(&[("1", KEY), ("3", &other)]),
        keys(&[("2", &other)]),
    ] {
        assert_ne!(both(), changed);
    }
}

#[test]
fn a_token_of_a_key_with_the_same_name_is_forged() {
    let token = keys(&[("1", "another key, but of the same name")]).sign(&claims());
    assert_eq!(keys(&[("1", KEY)]).verify_at(&token, "uid", 0), Err(TokenError::Forged));
}

#[test]
fn other_algorithms_and_none_at_all_are_refused() {
    let keys = keys(&[("1", KEY)]);
    let token = keys.sign(&claims());
    for alg in ["none", "None", "HS384", "RS256", "hs256", ""] {
        let header = format!(r#"{{"alg":"{alg}","kid":"1"}}"#);
        let refused = keys.verify_at(&with_header(&header, &token), "uid", 0);
        assert_eq!(refused, Err(TokenError::Algorithm), "{alg}");
    }
    let unsigned = with_header(r#"{"alg":"none","kid":"1"}"#, &token);
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    assert_eq!(keys.verify_at(&unsigned, "uid", 0), Err(TokenError::Algorithm));
    let extended = with_header(r#"{"alg":"HS256","kid":"1","crit":["b64"]}"#, &token);
    assert_eq!(keys.verify_at(&extended, "uid", 0), Err(TokenError::Algorithm));
    let empty = format!("{}.", token.rsplit_once('.').unwrap().0);
    assert_eq!(keys.verify_at(&empty, "uid", 0), Err(TokenError::Forged));
    let short = &token[..token.len() - 3];
    assert_eq!(keys.verify_at(short, "uid", 0), Err(TokenError::Forged));
}

#[test]
fn a_token_without_end_is_not_looked_at() {
    let keys = keys(&[("1", KEY)]);
    let long = Claims { consumer: "x".repeat(MAX_BYTES), ..claims() };
    assert_eq!(keys.verify_at(&keys.sign(&long), "uid", 0), Err(TokenError::TooLong));
}

#[test]
fn two_keys_are_accepted_the_newest_signs_and_an_older_one_is_unknown() {
    let (one, two) = (("2026-01", KEY), ("2026-02", "another key of thirty-two bytes.."));
    let three = ("2026-03", "and a third, which makes the first one old");
    let old = keys(&[one]).sign(&claims());
    let both = keys(&[one, two]);
    let new = both.sign(&claims());
    assert_eq!(both.ids().collect::<Vec<_>>(), ["2026-02", "2026-01"]);
    assert_eq!(both.verify_at(&old, "uid", 0), Ok(claims()));
    assert_eq!(both.verify_at(&new, "uid", 0), Ok(claims()));
    assert_eq!(keys(&[one]).verify_at(&new, "uid", 0), Err(TokenError::UnknownKey));
    let later = keys(&[one, two, three]);
    assert_eq!(later.verify_at(&old, "uid", 0), Err(TokenError::UnknownKey));
    assert_eq!(later.verify_at(&new, "uid", 0), Ok(claims()));
}

#[test]
fn a_folder_without_keys_says_how_to_make_one() {
    let dir = folder(&[("..data", KEY)]);
    let missing = dir.path().join("missing");
    for dir in [dir.path(), &missing] {
        let error = Keys::from_dir(dir).unwrap_err().to_string();
        assert!(error.contains("head -c 32 /dev/urandom | base64 > "), "{error}");
        assert!(error.contains(&dir.display().to_string()), "{error}");
    }
}

#[test]
fn short_keys_and_odd_names_are_refused_and_white_space_at_the_end_is_no_part_of_a_key() {
    let short = folder(&[("1", "31 bytes are not quite enough..\n")]);
    assert!(matches!(Keys::from_dir(short.path()), Err(KeysError::Size { bytes: 31, .. })));
    let odd = folder(&[("README.md", KEY)]);
    assert!(matches!(Keys::from_dir(odd.path()), Err(KeysError::Name(_))));
    let token = keys(&[("1", &format!("{KEY}\n"))]).sign(&claims());
    assert!(keys(&[("1", KEY)]).verify_at(&token, "uid", 0).is_ok());
}

#[test]
fn keys_are_not_printed() {
    let keys = keys(&[("1", KEY)]);
    assert_eq!(format!("{keys:?}"), r#"Keys(["1"])"#);
}

proptest! {
    #[test]
    fn a_token_with_any_byte_altered_is_refused(at in 0usize..300, with in "[A-Za-z0-9_.-]") {
        let keys = keys(&[("1", KEY)]);
        let mut token = keys.sign(&claims());
        let at = at % token.len();
        prop_assume!(token[at..=at] != with);
        token.replace_range(at..=at, &with);
        prop_assert!(keys.verify_at(&token, "uid", 0).is_err());
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}") {
        prop_assert!(keys(&[("1", KEY)]).verify_at(&text, "uid", 0).is_err());
    }
}
