//! The keys that sign: files of a folder, as a Secret is mounted.

use super::{Claims, MAX_BYTES, TokenError};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use zeroize::Zeroizing;

/// Fewest and most bytes of a key.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 32..=4096;
/// How many keys are accepted at a time.
const ACCEPTED: usize = 2;
const ALGORITHM: &str = "HS256";

/// The keys of one master: the newest signs, it and the one before are accepted.
#[derive(Clone)]
pub struct Keys {
    /// The newest first; at least one.
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    mac: Hmac<Sha256>,
}

/// The first part of a token.
#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that must be understood: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// Why keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder or a file can't be read.
    #[error("{}: {source}{}", .path.display(), hint(.path, .source))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No key is in the folder.
    #[error("no key is in {}: make one with `{}`", .0.display(), command(.0))]
    None(PathBuf),
    /// A key is too short or too long.
    #[error(
        "the key {} has {bytes} bytes; {} to {} are possible: make one with \
         `head -c 32 /dev/urandom | base64`",
        .path.display(), KEY_BYTES.start(), KEY_BYTES.end()
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// How many it has, without white space at its end.
        bytes: usize,
    },
    /// A file's name can't be a key's id.
    #[error(
        "{}: a key's name has 1 to 64 small letters, digits, `.`, `_` and `-`, such as 2026-01",
        .0.display()
    )]
    Name(PathBuf),
}

fn command(dir: &Path) -> String {
    let dir = dir.display();
    format!("mkdir -p {dir} && head -c 32 /dev/urandom | base64 > {dir}/$(date +%Y-%m-%d)")
}

fn hint(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => format!("; make a key with `{}`", command(path)),
        _ => String::new(),
    }
}

impl Keys {
    /// Reads the keys in a folder: a file's name is the key's id, its content the key. The newest
    /// is the one whose name sorts last, so names are dates or numbers of one length; it signs.
    /// It and the one before are accepted, older ones are not. Names that begin with a dot are
    /// none (Kubernetes has such in mounted Secrets).
    ///
    /// # Errors
    /// [`KeysError`] for the first file that can't be used, and where there is none.
    pub fn from_dir(dir: &Path) -> Result<Self, KeysError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeysError::Io { path, source }
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed(dir))? {
            let entry = entry.map_err(failed(dir))?;
            let (path, name) = (entry.path(), entry.file_name());
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Some(id) = name.to_str().filter(|name| is_id(name)) else {
                return Err(KeysError::Name(path));
            };
            files.push((id.to_owned(), path));
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        let mut keys = Vec::new();
        for (id, path) in files.into_iter().take(ACCEPTED) {
            let content = Zeroizing::new(fs::read(&path).map_err(failed(&path))?);
            keys.push(Key::new(id, &content, &path)?);
        }
        if keys.is_empty() {
            return Err(KeysError::None(dir.to_owned()));
        }
        Ok(Self { keys })
    }

    /// Keys by name, as [`Keys::from_dir`] takes them from files.
    ///
    /// # Errors
    /// [`KeysError`] for the first that can't be used, and where there is none.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, KeysError> {
        let mut sorted: Vec<_> = keys.into_iter().collect();
        sorted.sort_unstable_by(|a, b| b.0.cmp(a.0));
        let mut kept = Vec::new();
        for (id, key) in sorted.into_iter().take(ACCEPTED) {
            if !is_id(id) {
                return Err(KeysError::Name(id.into()));
            }
            kept.push(Key::new(id.to_owned(), key, Path::new(id))?);
        }
        if kept.is_empty() {
            return Err(KeysError::None(PathBuf::new()));
        }
        Ok(Self { keys: kept })
    }

    /// Names of the keys that are accepted, the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Claims) -> String {
        let Some(key) = self.keys.first() else { return String::new() };
        let header = Header {
            alg: ALGORITHM.to_owned(),
            kid: key.id.clone(),
            typ: Some("JWT".to_owned()),
            crit: None,
        };
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let mac = key.mac.clone().chain_update(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// What a token says, if it is of these keys, for this master and not expired.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, master_uid: &str) -> Result<Claims, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.verify_at(token, master_uid, i64::try_from(now).unwrap_or(i64::MAX))
    }

    /// [`Keys::verify`] at a time: seconds since 1970 UTC.
    pub(super) fn verify_at(
        &self,
        token: &str,
        master_uid: &str,
        now: i64,
    ) -> Result<Claims, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = decode(header)?;
        if header.alg != ALGORITHM || header.crit.is_some() {
            return Err(TokenError::Algorithm);
        }
        let key = self.keys.iter().find(|key| key.id == header.kid);
        let key = key.ok_or(TokenError::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        // In constant time.
        let verified = key.mac.clone().chain_update(signed).verify_slice(&signature);
        verified.map_err(|_| TokenError::Forged)?;
        let claims: Claims = decode(claims)?;
        if claims.master_uid != master_uid {
            return Err(TokenError::OtherMaster);
        }
        if claims.expires.is_some_and(|expires| expires <= now) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

impl Key {
    fn new(id: String, content: &[u8], path: &Path) -> Result<Self, KeysError> {
        let key = content.trim_ascii_end();
        let bytes = key.len();
        // HMAC takes keys of any length; short ones are guessed.
        let mac = Hmac::new_from_slice(key).ok().filter(|_| KEY_BYTES.contains(&bytes));
        let mac = mac.ok_or_else(|| KeysError::Size { path: path.to_owned(), bytes })?;
        Ok(Self { id, mac })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.ids().collect::<Vec<_>>()).finish()
    }
}

impl PartialEq for Keys {
    /// The same ids, and the same keys under them.
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl PartialEq for Key {
    /// Keys are the same that sign alike; compared in constant time.
    fn eq(&self, other: &Self) -> bool {
        let signature = other.mac.clone().finalize().into_bytes();
        self.id == other.id && self.mac.clone().verify(&signature).is_ok()
    }
}

fn is_id(name: &str) -> bool {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

fn encode(part: &impl Serialize) -> String {
    // Structs of strings and numbers can't fail to be JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

/// The consumer that a token is for, by its own word: for those who carry it.
pub(crate) fn subject(token: &str) -> Result<String, TokenError> {
    let claims = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
    decode::<Claims>(claims).map(|claims| claims.consumer)
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}
