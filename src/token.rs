//! `token`: what a reader shows to a feed.

use crate::{cli, fail::Failure, say};
use feed::http::token::{Claims, Keys, Kind};

const DAY: i64 = 24 * 3600;

/// Prints a token.
///
/// # Errors
/// [`Failure::Keys`].
pub fn token(arguments: cli::Token) -> Result<(), Failure> {
    let cli::Token { keys, master_uid, consumer, kind, rights, days } = arguments;
    let keys = Keys::from_dir(&keys)?;
    let now = jiff::Timestamp::now().as_second();
    let claims = Claims {
        master_uid,
        consumer,
        kind: Kind::new(kind),
        rights: rights.into_iter().collect(),
        expires: days.map(|days| now + i64::from(days) * DAY),
    };
    say(&format!("{}\n", keys.sign(&claims)))
}
