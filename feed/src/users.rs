//! People whom the master's changes and builds name. A master's REST API has no users, so they
//! are noted as they come by.

use crate::{
    StoreError,
    shared::now_ms,
    store::tables::{USERS, UserRow, decode, encode},
};
use model::{Build, Change, short_name};
use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most users in one answer.
const AT_ONCE: usize = 1000;
/// Most bytes of a name and of an address (RFC 5321 §4.5.3.1); longer ones are nobody's.
const MOST_BYTES: usize = 320;
/// One who comes by again within this time is not written again (ms).
const FRESH_MS: i64 = 3_600_000;

/// Somebody whom a change or a build names: as author, committer, or owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct User {
    /// `Ann` of `Ann <ann@example.org>`; the whole text where there is no name.
    pub name: String,
    /// The mail address that last came with the name.
    pub address: Option<String>,
    /// When a change or build last named them, to about an hour: milliseconds since 1970 UTC.
    pub last_seen_ms: i64,
}

/// Name and address in a text of the version control system; `None` if it names nobody.
fn parse(who: &str) -> Option<(&str, Option<&str>)> {
    let (before, inside) = match who.split_once('<') {
        Some((before, rest)) => (before.trim(), rest.split('>').next().unwrap_or_default().trim()),
        None => (who.trim(), who.trim()),
    };
    let address = Some(inside).filter(|text| {
        text.len() <= MOST_BYTES
            && text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    let name = match address {
        Some(address) if before.is_empty() => address,
        _ => short_name(who),
    };
    (!name.is_empty() && name.len() <= MOST_BYTES).then_some((name, address))
}

/// Notes those whom a change names.
pub(crate) fn of_change(transaction: &WriteTransaction, change: &Change) -> Result<(), StoreError> {
    let who = [Some(change.author.as_str()), change.committer.as_deref()];
    note(transaction, who.into_iter().flatten(), change.when.0.saturating_mul(1000))
}

/// Notes those whom a finished build names.
pub(crate) fn of_build(transaction: &WriteTransaction, build: &Build) -> Result<(), StoreError> {
    let at = build.complete_at.unwrap_or(build.started_at).0.saturating_mul(1000);
    let owners = build.owners();
    let committers = build.changes.iter().filter_map(|change| change.committer.as_deref());
    let mut who: Vec<&str> = build
        .blamelist()
        .into_iter()
        .chain(committers)
        .chain(owners.iter().map(|o| &**o))
        .collect();
    who.sort_unstable();
    who.dedup();
    note(transaction, who.into_iter(), at)
}

fn note<'a>(
    transaction: &WriteTransaction,
    who: impl Iterator<Item = &'a str>,
    at_ms: i64,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(USERS)?;
    // A master's clock may be wrong; one that is ahead must not keep its people for ever.
    let at_ms = at_ms.min(now_ms());
    for (name, address) in who.filter_map(parse) {
        let known = match table.get(name)? {
            // A row that can't be read is replaced.
            Some(row) => decode::<UserRow>("a user", row.value()).ok(),
            None => None,
        };
        let new = known.is_none();
        let mut row = known.unwrap_or_default();
        let newer = at_ms >= row.seen_ms;
        let moved = address
            .is_some_and(|a| row.address.as_deref() != Some(a) && (newer || row.address.is_none()));
        if !new && !moved && at_ms < row.seen_ms.saturating_add(FRESH_MS) {
            continue;
        }
        if moved {
            row.address = address.map(str::to_owned);
        }
        row.seen_ms = row.seen_ms.max(at_ms);
        table.insert(name, encode(&row)?.as_slice())?;
    }
    Ok(())
}

/// See [`crate::Feed::users`].
pub(crate) fn list(
    transaction: &ReadTransaction,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<User>, StoreError> {
    let table = transaction.open_table(USERS)?;
    let after = after.unwrap_or_default();
    let mut users = Vec::new();
    // Names are not empty, so that "after the empty one" is all of them.
    for row in table
        .range(after..)?
        .skip_while(|row| matches!(row, Ok((name, _)) if name.value() == after))
    {
        if users.len() >= limit.min(AT_ONCE) {
            break;
        }
        let (name, row) = row?;
        match decode::<UserRow>("a user", row.value()) {
            Ok(UserRow { address, seen_ms }) => {
                users.push(User { name: name.value().to_owned(), address, last_seen_ms: seen_ms });
            }
            Err(error) => tracing::error!(%error, "left out"),
        }
    }
    Ok(users)
}

/// Names of those to drop, so that about nine tenths of `most` remain: none as long as there are
/// no more than `most`, so that this is not looked through each time.
pub(crate) fn outlived(
    transaction: &ReadTransaction,
    most: u64,
) -> Result<Vec<String>, StoreError> {
    let table = transaction.open_table(USERS)?;
    let all = table.len()?;
    if all <= most {
        return Ok(Vec::new());
    }
    let mut by_age = Vec::new();
    for row in table.iter()? {
        let (name, row) = row?;
        let seen_ms = decode::<UserRow>("a user", row.value()).map_or(0, |row| row.seen_ms);
        by_age.push((seen_ms, name.value().to_owned()));
    }
    by_age.sort_unstable();
    let excess = usize::try_from(all - (most - most / 10)).unwrap_or(usize::MAX);
    by_age.truncate(excess);
    Ok(by_age.into_iter().map(|(_, name)| name).collect())
}

/// Drops these.
pub(crate) fn remove(transaction: &WriteTransaction, names: &[String]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(USERS)?;
    for name in names {
        table.remove(name.as_str())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for (who, expected) in [
            ("Ann <ann@example.org>", Some(("Ann", Some("ann@example.org")))),
            ("ann@example.org", Some(("ann@example.org", Some("ann@example.org")))),
            (" <ann@example.org> ", Some(("ann@example.org", Some("ann@example.org")))),
            ("ann", Some(("ann", None))),
            ("Ann <at home>", Some(("Ann", None))),
            ("Ann <a@b", Some(("Ann", Some("a@b")))),
            ("Ann at ann@example.org", Some(("Ann at ann@example.org", None))),
            ("  ", None),
        ] {
            assert_eq!(parse(who), expected, "{who:?}");
        }
        assert_eq!(parse(&"x".repeat(400)), None);
    }
}
