//! Which host keys are accepted: the lines of a `known_hosts` file.

use crate::BuildError;
use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::{
    Algorithm, HashAlg, PublicKey,
    ssh_key::known_hosts::{HostPatterns, KnownHosts, Marker},
};
use sha1::Sha1;

/// The keys of one server.
#[derive(Debug)]
pub struct Hosts {
    place: String,
    host: String,
    port: u16,
    known: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

impl Hosts {
    /// Those lines of `text` that are about the server.
    pub fn new(host: &str, port: u16, text: &str) -> Result<Self, BuildError> {
        let field = "spec.knownHostsSecretRef";
        // As OpenSSH: a line without a port is good for every port.
        let names = [format!("[{host}]:{port}"), host.to_owned()];
        let (mut known, mut revoked) = (Vec::new(), Vec::new());
        for (number, entry) in text.lines().enumerate() {
            let Some(entry) = KnownHosts::new(entry.trim()).next() else { continue };
            let entry = entry.map_err(|error| {
                let line = number + 1;
                let form = "write it as ssh-keyscan does: HOST TYPE KEY";
                BuildError::new(field, format!("line {line} is no host key ({error}); {form}"))
            })?;
            if !names.iter().any(|name| matches(entry.host_patterns(), name)) {
                continue;
            }
            match entry.marker() {
                None => known.push(entry.public_key().clone()),
                Some(Marker::Revoked) => revoked.push(entry.public_key().clone()),
                // Nobody signs host keys for Gerrit's own server.
                Some(Marker::CertAuthority) => {}
            }
        }
        Ok(Self { place: format!("{host}:{port}"), host: host.to_owned(), port, known, revoked })
    }

    /// Kinds of keys in the order in which the server is asked for them: known ones first, since a
    /// server shows only one of its keys.
    pub fn preferred(&self, all: &[Algorithm]) -> Vec<Algorithm> {
        let known = |algorithm: &&Algorithm| {
            self.known.iter().any(|key| match (key.algorithm(), algorithm) {
                (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
                (key, algorithm) => key == **algorithm,
            })
        };
        let (mut first, rest): (Vec<&Algorithm>, Vec<&Algorithm>) = all.iter().partition(known);
        first.extend(rest);
        first.into_iter().cloned().collect()
    }

    /// Whether the key that the server shows is known; if not, why and what to do.
    pub fn check(&self, key: &PublicKey) -> Result<(), String> {
        let same = |other: &PublicKey| other.key_data() == key.key_data();
        let Self { place, host, port, .. } = self;
        let shown = format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256));
        if self.revoked.iter().any(same) {
            return Err(format!(
                "{place} shows the host key {shown}, which knownHostsSecretRef marks as revoked"
            ));
        }
        if self.known.iter().any(same) {
            return Ok(());
        }
        let scan = format!("`ssh-keyscan -p {port} {host}`");
        let known: Vec<String> =
            self.known.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect();
        if known.is_empty() {
            return Err(format!(
                "the host key of {place} is not known: it shows {shown}, and knownHostsSecretRef \
                 has no line for {host}. If Gerrit's administrator says that this is its key, add \
                 what {scan} writes"
            ));
        }
        Err(format!(
            "{place} shows another host key than knownHostsSecretRef has: {shown} instead of {}. \
             Somebody may stand in between. If Gerrit's administrator says that this is its key, \
             put what {scan} writes in place of the old line",
            known.join(", ")
        ))
    }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => {
            let refused = patterns.iter().filter_map(|p| p.strip_prefix('!'));
            let mut wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
            wanted.any(|pattern| glob(pattern, name)) && !refused.into_iter().any(|p| glob(p, name))
        }
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok()),
    }
}

/// `*` is any text, `?` any character; case does not matter.
fn glob(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // `reached[n]`: the pattern so far can stand for the first n characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        if wanted == '*' {
            for n in 1..reached.len() {
                reached[n] |= reached[n - 1];
            }
        } else {
            for n in (1..reached.len()).rev() {
                reached[n] = reached[n - 1] && (wanted == '?' || wanted == name[n - 1]);
            }
            reached[0] = false;
        }
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests;
