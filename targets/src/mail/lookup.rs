//! Where addresses of users come from, beside the settings themselves: a file of names and
//! addresses (LDIF or CSV), and the users whom the master's changes and builds name (M07).

use crate::BuildError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::{LookupFile, LookupFormat};
use feed::{AnyFeed, ReadError};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Largest file that is read. A ConfigMap holds a megabyte.
const LARGEST: u64 = 16 << 20;
const FIELD: &str = "spec.lookup.file";

/// Addresses by name, whatever the case of its letters.
type Entries = HashMap<String, String>;

/// A file of names and addresses. It is read again when it changes, as a mounted ConfigMap does.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    format: LookupFormat,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// When it was written last, and its length.
    state: Option<(SystemTime, u64)>,
    entries: Arc<Entries>,
}

impl Directory {
    /// Reads the file.
    pub fn open(file: &LookupFile) -> Result<Self, BuildError> {
        let path = PathBuf::from(&file.path);
        let ending = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
        let format = match (file.format, ending.as_deref()) {
            (Some(format), _) => format,
            (None, Some("ldif")) => LookupFormat::Ldif,
            (None, Some("csv")) => LookupFormat::Csv,
            (None, _) => {
                let text = "its name ends in neither .ldif nor .csv; set format to one of them";
                return Err(BuildError::new(format!("{FIELD}.format"), text));
            }
        };
        let directory = Self { path, format, read: Mutex::default() };
        let failed = |error| {
            let text = format!("{} can't be read: {error}", directory.path.display());
            BuildError::new(format!("{FIELD}.path"), text)
        };
        let read = directory.read().map_err(failed)?;
        Ok(Self { read: Mutex::new(read), ..directory })
    }

    /// The file's present entries; those read before where it can't be read.
    pub fn entries(&self) -> Arc<Entries> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Two calls of the system for each mail: cheaper than a watch of the file.
        let state = fs::metadata(&self.path).and_then(|m| Ok((m.modified()?, m.len())));
        if state.as_ref().ok() != read.state.as_ref() {
            match self.read() {
                Ok(newer) => *read = newer,
                Err(error) => {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "the file of addresses can't be read; what it held holds");
                }
            }
        }
        Arc::clone(&read.entries)
    }

    fn read(&self) -> io::Result<Read> {
        let about = fs::metadata(&self.path)?;
        if about.len() > LARGEST {
            return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
        }
        let text = fs::read_to_string(&self.path)?;
        let entries = match self.format {
            LookupFormat::Ldif => ldif(&text),
            LookupFormat::Csv => csv(&text),
        };
        Ok(Read { state: Some((about.modified()?, about.len())), entries: Arc::new(entries) })
    }
}

/// The address of a user whom version control names so: by the whole text, the name in it, or the
/// address in it.
pub fn find<'a, V>(user: &'a str, get: impl Fn(&str) -> Option<V> + 'a) -> Option<V> {
    let bare = user.rsplit_once('<').map_or(user, |(_, rest)| rest.trim_end_matches('>'));
    [user.trim(), model::short_name(user), bare.trim()].into_iter().find_map(get)
}

/// As [`find`], in a file's entries.
pub fn find_entry(user: &str, entries: &Entries) -> Option<String> {
    find(user, |name| entries.get(&name.to_lowercase()).cloned())
}

/// Entries of a directory (RFC 2849): `uid`, `cn`, `sAMAccountName` and each `mail` are names of
/// the first `mail`. Of two entries with one name the first counts.
pub(crate) fn ldif(text: &str) -> Entries {
    let mut entries = Entries::new();
    let mut one: Vec<(String, String)> = Vec::new();
    let mut end = |one: &mut Vec<(String, String)>| {
        let address = one.iter().find(|(name, _)| name == "mail").map(|(_, mail)| mail.clone());
        for (_, value) in one.drain(..) {
            if let Some(address) = &address {
                entries.entry(value.to_lowercase()).or_insert_with(|| address.clone());
            }
        }
    };
    for line in unfolded(text) {
        if line.is_empty() {
            end(&mut one);
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        // `cn;lang-de` is a `cn`.
        let name = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !["uid", "cn", "samaccountname", "mail"].contains(&name.as_str()) {
            continue;
        }
        let value = match value.strip_prefix(':') {
            Some(coded) => {
                STANDARD.decode(coded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok())
            }
            // A value at an address is not looked for.
            None if value.starts_with('<') => None,
            None => Some(value.trim().to_owned()),
        };
        one.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
    }
    end(&mut one);
    entries
}

/// Lines without comments, those that go on in the next one put together.
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix(' '), lines.last_mut()) {
            (Some(rest), Some(last)) => last.push_str(rest),
            _ => lines.push(line.trim_end().to_owned()),
        }
    }
    lines.retain(|line| !line.starts_with('#'));
    lines
}

/// Lines of name and address (RFC 4180); more columns are left alone, and so are lines whose
/// second column holds no `@`, such as a heading.
pub(crate) fn csv(text: &str) -> Entries {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut entries = Entries::new();
    for row in reader.records().flatten() {
        if let (Some(name), Some(address)) = (row.get(0), row.get(1))
            && !name.is_empty()
            && address.contains('@')
        {
            entries.entry(name.to_lowercase()).or_insert_with(|| address.to_owned());
        }
    }
    entries
}

/// Addresses of these names, as far as the master's changes and builds gave them any.
pub async fn users(
    feed: &AnyFeed,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, ReadError> {
    let mut found = BTreeMap::new();
    for name in names {
        let next = feed.users(just_before(name).as_deref(), 1).await?;
        if let Some(user) = next.into_iter().find(|user| user.name == *name) {
            found.extend(user.address.map(|address| (name.clone(), address)));
        }
    }
    Ok(found)
}

/// The feed lists users after a name, so one of them is the first after the name just before its
/// own: nobody's name has the character behind which nothing comes (U+10FFFF, which is none).
fn just_before(name: &str) -> Option<String> {
    let mut chars = name.chars();
    let last = u32::from(chars.next_back()?);
    let before = (0..last).rev().find_map(char::from_u32)?;
    Some(format!("{}{before}{}", chars.as_str(), char::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Directory, csv, find_entry, just_before, ldif};
    use crds::{LookupFile, LookupFormat};
    use std::fs;

    const PEOPLE: &str = "version: 1\n\
        # people\n\
        dn: uid=ann,ou=people,dc=example,dc=org\n\
        uid: ann\n\
        cn: Ann Adams\n\
        cn;lang-de:: QW5uIEFkw6Rtcw==\n\
        mail: ann@exam\n \
        ple.org\n\
        mail: adams@old.example.org\n\
        \n\
        dn: uid=bea,ou=people\n\
        uid: bea\n\
        \n\
        dn: cn=Cyd\n\
        cn: Cyd\n\
        mail:< file:///etc/passwd\n\
        mail: cyd@example.org";

    #[test]
    fn m07_an_ldif_file_knows_uids_names_and_older_addresses() {
        let entries = ldif(PEOPLE);
        for (user, address) in [
            ("ann", Some("ann@example.org")),
            ("ANN", Some("ann@example.org")),
            ("Ann Adams <a@laptop>", Some("ann@example.org")),
            ("Ann Adäms", Some("ann@example.org")),
            ("A. <adams@old.example.org>", Some("ann@example.org")),
            ("Cyd", Some("cyd@example.org")),
            ("bea", None),
            ("dan", None),
        ] {
            assert_eq!(find_entry(user, &entries).as_deref(), address, "{user}");
        }
    }

    #[test]
    fn m07_a_csv_file_knows_what_its_first_column_says() {
        let entries = csv(
            "name,address\n# nobody,x@example.org\nann, ann@example.org ,more\n\"Bea, B.\",bea@example.org\n\
             ann,other@example.org\ncyd\n",
        );
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert_eq!(find_entry("ann", &entries).as_deref(), Some("ann@example.org"));
        assert_eq!(find_entry("Bea, B. <b@laptop>", &entries).as_deref(), Some("bea@example.org"));
    }

    #[test]
    fn m07_a_changed_file_counts_at_once_and_one_that_is_gone_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.csv");
        fs::write(&path, "ann,ann@example.org\n").unwrap();
        let mut file = LookupFile { path: path.to_str().unwrap().to_owned(), format: None };
        let directory = Directory::open(&file).unwrap();
        let ann = || find_entry("ann", &directory.entries());
        assert_eq!(ann().as_deref(), Some("ann@example.org"));
        fs::write(&path, "ann,ann.adams@example.org\n").unwrap();
        assert_eq!(ann().as_deref(), Some("ann.adams@example.org"));
        fs::remove_file(&path).unwrap();
        assert_eq!(ann().as_deref(), Some("ann.adams@example.org"));
        let error = Directory::open(&file).unwrap_err();
        assert_eq!(error.field, "spec.lookup.file.path");
        file.path = "/people".to_owned();
        assert_eq!(Directory::open(&file).unwrap_err().field, "spec.lookup.file.format");
        file.format = Some(LookupFormat::Ldif);
        assert_eq!(Directory::open(&file).unwrap_err().field, "spec.lookup.file.path");
    }

    #[test]
    fn nothing_but_a_name_itself_comes_after_the_one_just_before_it() {
        for name in ["ann", "a", "Zoë", "\u{e000}", "日本"] {
            let before = just_before(name).unwrap();
            assert!(before.as_str() < name, "{name}");
            let shorter: String = name.chars().take(name.chars().count() - 1).collect();
            for other in [shorter.clone(), format!("{name} "), format!("{name}a")] {
                assert!(!(before < other && other.as_str() < name), "{name} {other}");
            }
        }
        assert_eq!(just_before("\0"), None);
    }
}
