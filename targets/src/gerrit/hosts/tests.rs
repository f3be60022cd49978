#![allow(clippy::unwrap_used)]
use super::{Hosts, glob};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAD/cozodzi6XcuiRJa7+24Rpo/5PjdZpBOPBpshNUbq";
const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH1ti5f5hJ0AOPp+bIixYAXzopMjKZsv0g+W4+DV/Bfl";
const R: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC6zscVWeNlFZMQ2Pes3EMtzodsBSZB96Ce/nkzy8LTTcYBfXRN+7jMCR6ajwKJhJKY22HZBtwZUEs6ot+Ca9ru6mnZ9crkFIPyoiLEKl45xWJ3ZxYCST0XXbGKfNOBgRy980xibyL7RL7KlnivBn8FdStnke4fmldWFOteH2hmHuoslpagqSoxNOrHnPaWvH/JRjILdLa19YOOn2AQZqttkAWMN7KTlTEOvRVqdpz3c6bjBzW3ZJ2wp8FJ3mrCfDZ+RbSTRfDcEPbpv5z8UfBJ8cHmq2g8FnW8KQwgdi1o+73sazQlqh76ejrxewxZxXo8JwHGjYawIeUw22VjhOs1";
/// `[gerrit.example.org]:29418`, as `ssh-keygen -H` writes it.
const HASHED: &str = "|1|VU99vLzIUo1LgX4JV1vnrIEKXxY=|zy2hlDLtuu/4by8TBrZQ0opDL7w=";

fn hosts(text: &str) -> Hosts {
    Hosts::new("gerrit.example.org", 29418, text).unwrap()
}

fn key(text: &str) -> PublicKey {
    text.parse().unwrap()
}

#[test]
fn g01_a_key_is_known_by_any_of_the_ways_to_write_a_host() {
    for name in [
        "[gerrit.example.org]:29418",
        "gerrit.example.org",
        "[GERRIT.example.org]:29418,[192.0.2.1]:29418",
        "[*.example.org]:*",
        "gerrit.?xample.org",
        HASHED,
    ] {
        let text = format!("# Gerrit\n\n{name} {A} a comment\n");
        assert_eq!(hosts(&text).check(&key(A)), Ok(()), "{name}");
    }
    for name in [
        "[gerrit.example.org]:22",
        "git.example.org",
        "*.example.org,!gerrit.*",
        "*.org.example",
        "@cert-authority gerrit.example.org",
    ] {
        let text = format!("{name} {A}\n");
        let refused = hosts(&text).check(&key(A)).unwrap_err();
        assert!(refused.contains("is not known"), "{name}: {refused}");
    }
}

#[test]
fn g01_another_key_is_refused_with_both_fingerprints() {
    let text = format!("gerrit.example.org {A}\n@revoked gerrit.example.org {R}\n");
    let hosts = hosts(&text);
    let expected = "gerrit.example.org:29418 shows another host key than knownHostsSecretRef has: \
                    ssh-ed25519 SHA256:V6Jzf9IlUPtfD5rZfqlBspO/qDOGDaAHANtLXQKcCGY instead of \
                    SHA256:imtp6HIDIWHEpj6Q97xcMyKNijeWwKq+QP7BnGv5QZ0. Somebody may stand in \
                    between. If Gerrit's administrator says that this is its key, put what \
                    `ssh-keyscan -p 29418 gerrit.example.org` writes in place of the old line";
    assert_eq!(hosts.check(&key(B)), Err(expected.to_owned()));
    assert!(hosts.check(&key(R)).unwrap_err().contains("marks as revoked"));
}

#[test]
fn a_line_that_is_no_host_key_is_named() {
    let error = Hosts::new("a", 22, &format!("a {A}\na ssh-ed25519 nonsense\n")).unwrap_err();
    assert_eq!(error.field, "spec.knownHostsSecretRef");
    assert!(error.text.starts_with("line 2 is no host key"), "{error}");
}

#[test]
fn kinds_of_known_keys_are_asked_for_first() {
    let ecdsa = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let rsa = Algorithm::Rsa { hash: Some(HashAlg::Sha512) };
    let all = [Algorithm::Ed25519, ecdsa.clone(), rsa.clone()];
    let known = hosts(&format!("gerrit.example.org {R}"));
    assert_eq!(known.preferred(&all), [rsa, Algorithm::Ed25519, ecdsa]);
    assert_eq!(hosts("").preferred(&all), all);
}

#[test]
fn stars_and_question_marks_stand_for_characters() {
    for (pattern, name, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a*c", "abbd", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("**", "x", true),
        ("", "", true),
        ("", "x", false),
    ] {
        assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
    }
}
