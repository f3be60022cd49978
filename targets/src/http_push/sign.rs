//! Signatures as Standard Webhooks has them: an HMAC-SHA256 over id, time and body.

use crate::BuildError;
use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{
        DecodePaddingMode::Indifferent, GeneralPurpose, GeneralPurposeConfig,
        general_purpose::STANDARD,
    },
};
use ring::hmac::{self, HMAC_SHA256, Key};
use sha2::{Digest as _, Sha256};

/// What a key begins with that is base64.
const BASE64: &[u8] = b"whsec_";

/// The keys that posts are signed with.
#[derive(Debug)]
pub struct Signer(Vec<Key>);

impl Signer {
    /// From the values of `signatureSecretRefs`. Errors show nothing of them.
    pub fn new(secrets: &[Vec<u8>]) -> Result<Self, BuildError> {
        let keys = secrets.iter().enumerate().map(|(at, secret)| {
            key(secret)
                .map_err(|text| BuildError::new(format!("spec.signatureSecretRefs[{at}]"), text))
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The headers that say who sends this; none without keys.
    pub fn headers(&self, id: &str, seconds: i64, body: &[u8]) -> Vec<(&'static str, String)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let head = format!("{id}.{seconds}.");
        let signatures = self.0.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(head.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures.collect::<Vec<_>>().join(" ")),
        ]
    }
}

fn key(secret: &[u8]) -> Result<Key, &'static str> {
    // Editors and `echo` end a line, which is no part of the key. Random bytes are left as they are.
    let secret = match std::str::from_utf8(secret) {
        Ok(text) => text.trim_end_matches(['\r', '\n']).as_bytes(),
        Err(_) => secret,
    };
    // As the specification's own libraries do: with padding or without.
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent);
    let bytes = match secret.strip_prefix(BASE64) {
        Some(packed) => GeneralPurpose::new(&ALPHABET, lenient)
            .decode(packed)
            .map_err(|_| "is no base64 behind whsec_: write whsec_ and the key in base64")?,
        None => secret.to_vec(),
    };
    if bytes.is_empty() {
        return Err("is empty: a key has at least 24 bytes at best");
    }
    Ok(Key::new(HMAC_SHA256, &bytes))
}

/// What a post is the same by: made of what it is about and who sends it, and so the same whenever
/// it is sent again, and another one for another sender.
pub fn id<'a>(sender: &str, identities: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    hash.update(sender);
    for identity in identities {
        hash.update("\n");
        hash.update(identity);
    }
    let hash = hash.finalize();
    let hex: Vec<String> = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{}", hex.concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::{Signer, id};

    #[test]
    fn g07_the_example_of_the_specification_has_the_signature_that_its_libraries_test() {
        let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec();
        let signer = Signer::new(&[secret, b"another key\n".to_vec()]).unwrap();
        let headers = signer.headers(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        let [(_, message), (_, time), (name, signatures)] = &headers[..] else { panic!() };
        assert_eq!(
            (message.as_str(), time.as_str()),
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330")
        );
        assert_eq!(*name, "webhook-signature");
        let all: Vec<&str> = signatures.split(' ').collect();
        assert_eq!(all[0], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(all.len() == 2 && all[0] != all[1], "{signatures}");
        let bare = Signer::new(&[b"another key".to_vec()]).unwrap();
        let again =
            bare.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(again[2].1, all[1], "the end of a line is no part of a key");
        assert!(Signer::new(&[]).unwrap().headers("a", 1, b"").is_empty());
    }

    #[test]
    fn g07_a_key_that_can_not_be_used_is_named_and_not_shown() {
        for (secret, says) in [("whsec_s3cret!", "no base64"), ("whsec_", "empty"), ("\n", "empty")]
        {
            let keys = [b"fine".to_vec(), secret.as_bytes().to_vec()];
            let error = Signer::new(&keys).unwrap_err();
            assert_eq!(error.field, "spec.signatureSecretRefs[1]");
            assert!(error.text.contains(says) && !error.text.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn g07_a_posts_id_is_its_senders_and_its_events() {
        let of = |sender, events: &[&str]| id(sender, events.iter().copied());
        assert_eq!(of("ci/push", &["a", "b"]), of("ci/push", &["a", "b"]));
        let all = [
            of("ci/push", &["a", "b"]),
            of("ci/push", &["b", "a"]),
            of("ci/push", &["a"]),
            of("ci/other", &["a", "b"]),
        ];
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
}
