//! Keys of masters and tokens of their readers, made from the operator's own seeds.
//!
//! A master's keys follow from the seeds and the master's UID, and a token follows from the keys
//! and its claims. So the operator needs to read no Secret but its own, and applies the same bytes
//! whenever it starts. A new seed beside an old one replaces all keys: the newest signs, and it and
//! the one before are accepted, until the old one is taken away.

use crate::error::KeyError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use feed::http::token::{Claims, Keys, Kind, Right};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::{collections::BTreeMap, fmt, fs, path::Path};
use zeroize::Zeroizing;

/// Fewest bytes of a seed.
const SEED_BYTES: usize = 32;
/// How many seeds count: the newest and the one before.
const ACCEPTED: usize = 2;

/// The operator's seeds. Clones share nothing but their value; neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Seeds(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Seeds {
    /// Seeds by name; the newest sorts last.
    ///
    /// # Errors
    /// [`KeyError`] where one is too short, has a name that can't be a key's, or there is none.
    pub fn new(seeds: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, KeyError> {
        let mut kept = BTreeMap::new();
        for (name, seed) in seeds {
            let seed = Zeroizing::new(seed.trim_ascii_end().to_vec());
            if seed.len() < SEED_BYTES {
                return Err(KeyError::Short { name, bytes: seed.len() });
            }
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
                return Err(KeyError::Name(name));
            }
            kept.insert(name, seed);
        }
        if kept.is_empty() {
            return Err(KeyError::None);
        }
        while kept.len() > ACCEPTED {
            kept.pop_first();
        }
        Ok(Self(kept))
    }

    /// Reads the files of a folder, as a Secret is mounted.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_dir(dir: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: dir.to_owned(), source };
        let mut seeds = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // The kubelet's own links.
            if !name.starts_with('.') {
                seeds.push((name, fs::read(entry.path()).map_err(failed)?));
            }
        }
        Self::new(seeds)
    }

    /// The keys of a master's feed, as its Secret holds them.
    pub fn of_master(&self, uid: &str) -> BTreeMap<String, Zeroizing<String>> {
        self.0.iter().map(|(name, seed)| (name.clone(), derive(seed, uid))).collect()
    }

    /// A token for a reader of a master's feed.
    ///
    /// # Errors
    /// [`KeyError::Unusable`]: none in practice.
    pub fn token(
        &self,
        master_uid: &str,
        consumer: &str,
        kind: &str,
        rights: &[Right],
    ) -> Result<Zeroizing<String>, KeyError> {
        let keys = self.of_master(master_uid);
        let keys = keys.iter().map(|(name, key)| (name.as_str(), key.as_bytes()));
        let keys = Keys::new(keys).map_err(|error| KeyError::Unusable(error.to_string()))?;
        Ok(Zeroizing::new(keys.sign(&Claims {
            master_uid: master_uid.to_owned(),
            consumer: consumer.to_owned(),
            kind: Kind::new(kind),
            rights: rights.iter().copied().collect(),
            expires: None,
        })))
    }
}

/// HMAC-SHA-256 of what the key is for.
fn derive(seed: &[u8], uid: &str) -> Zeroizing<String> {
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(seed).expect("HMAC takes keys of any length");
    mac.update(b"buildbot-status feed of master ");
    mac.update(uid.as_bytes());
    Zeroizing::new(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn seeds(names: &[&str]) -> Seeds {
        Seeds::new(names.iter().map(|n| ((*n).to_owned(), n.repeat(32).into_bytes()))).unwrap()
    }

    #[test]
    fn a_token_is_the_same_whenever_it_is_made_and_is_good_for_one_master() {
        let seeds = seeds(&["2026-01"]);
        let token = || seeds.token("uid-1", "mail/a", "MailNotifier", &[Right::Read]).unwrap();
        assert_eq!(token(), token());
        let keys = seeds.of_master("uid-1");
        let keys = Keys::new(keys.iter().map(|(n, k)| (n.as_str(), k.as_bytes()))).unwrap();
        assert_eq!(keys.verify(&token(), "uid-1").unwrap().consumer, "mail/a");
        let other = seeds.of_master("uid-2");
        let other = Keys::new(other.iter().map(|(n, k)| (n.as_str(), k.as_bytes()))).unwrap();
        assert!(other.verify(&token(), "uid-1").is_err());
    }

    #[test]
    fn a_new_seed_signs_and_the_one_before_is_accepted() {
        let before = seeds(&["2026-01"]);
        let after = seeds(&["2026-01", "2026-02"]);
        let old = before.token("uid", "mail/a", "MailNotifier", &[Right::Read]).unwrap();
        let new = after.token("uid", "mail/a", "MailNotifier", &[Right::Read]).unwrap();
        assert_ne!(old, new);
        let keys = after.of_master("uid");
        let keys = Keys::new(keys.iter().map(|(n, k)| (n.as_str(), k.as_bytes()))).unwrap();
        assert!(keys.verify(&old, "uid").is_ok() && keys.verify(&new, "uid").is_ok());
        assert_eq!(seeds(&["a", "b", "c"]).of_master("uid").len(), 2);
    }

    #[test]
    fn bad_seeds_are_refused_and_good_ones_never_shown() {
        let refuse = |name: &str, seed: &str| {
            Seeds::new([(name.to_owned(), seed.as_bytes().to_vec())]).unwrap_err().to_string()
        };
        assert!(refuse("2026", "short\n").contains("has 5 bytes"));
        assert!(refuse("A key", &"x".repeat(32)).contains("\"A key\""));
        assert!(Seeds::new([]).is_err());
        assert_eq!(format!("{:?}", seeds(&["2026-01"])), "{\"2026-01\"}");
    }
}
