//! Takes secrets out of what peers and libraries say, before it is kept, logged or shown.

use crate::SendError;

/// Most characters of a reason that are kept: a peer's answer may be long.
const LONGEST: usize = 2000;
/// A shorter secret is left: taken out, it would leave holes in every text.
const SHORTEST: usize = 4;
const GONE: &str = "***";

/// The text on one line of at most 2000 characters, without these secrets, without user, password
/// and query of addresses, and without what follows `Authorization`, `Bearer` and `Basic`.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        text = text.replace(secret, GONE);
    }
    words(&addresses(&text))
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The same error with its text redacted.
pub fn error(error: SendError, secrets: &[&str]) -> SendError {
    match error {
        SendError::Transient(text) => SendError::Transient(redact(&text, secrets)),
        SendError::PutOff(text) => SendError::PutOff(redact(&text, secrets)),
        SendError::Permanent(text) => SendError::Permanent(redact(&text, secrets)),
        SendError::Misconfigured(text) => SendError::Misconfigured(redact(&text, secrets)),
        SendError::Throttled { after, text } => {
            SendError::Throttled { after, text: redact(&text, secrets) }
        }
    }
}

/// `scheme://user:password@host/path?query` becomes `scheme://***@host/path?***`.
fn addresses(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'<>)]}".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let (address, more) = after.split_at(after.find(ends).unwrap_or(after.len()));
        let end = address.find(['/', '?', '#']).unwrap_or(address.len());
        let (place, path) = address.split_at(end);
        match place.rsplit_once('@') {
            Some((_, host)) => out.extend([GONE, "@", host]),
            None => out.push_str(place),
        }
        match path.split_once('?') {
            Some((path, _)) => out.extend([path, "?", GONE]),
            None => out.push_str(path),
        }
        rest = more;
    }
    out.push_str(rest);
    out
}

/// Takes out what follows the words that announce a credential.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        if let Some(at) = lower.find("authorization:").or_else(|| lower.find("authorization=")) {
            out.push_str(&line[..at + "authorization:".len()]);
            out.extend([" ", GONE]);
            if line.ends_with('\n') {
                out.push('\n');
            }
            continue;
        }
        let mut announced = false;
        for word in line.split_inclusive(char::is_whitespace) {
            let bare = word.trim_matches(|c: char| c.is_whitespace() || "\"'`,;:".contains(c));
            // "Basic authentication" is no credential.
            let secret = bare.len() >= 6 && bare.contains(|c: char| c.is_ascii_digit() || c == '=');
            if announced && secret {
                out.push_str(&word.replace(bare, GONE));
            } else {
                out.push_str(word);
            }
            announced =
                ["bearer", "basic", "token"].iter().any(|known| bare.eq_ignore_ascii_case(known));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn credentials_are_taken_out_and_the_rest_stays() {
        for (text, expected) in [
            ("http://u:p@h:80/a?k=v: refused", "http://***@h:80/a?*** refused"),
            ("a (smtps://u@h) b ftp://h/x", "a (smtps://***@h) b ftp://h/x"),
            ("401 for Authorization: Basic dTpw, bye", "401 for Authorization: ***"),
            ("no such key: Bearer abc123def.x", "no such key: Bearer ***"),
            ("Basic authentication is required", "Basic authentication is required"),
            ("535 hunter2 is wrong for bot", "535 *** is wrong for bot"),
            ("two\nlines\u{1b}[0m", "two lines [0m"),
            ("://@?", "://***@?***"),
            ("mail@example.org: 550 no", "mail@example.org: 550 no"),
        ] {
            assert_eq!(redact(text, &["hunter2", "no"]), expected);
        }
        assert_eq!(redact(&"ä".repeat(9000), &[]).chars().count(), 2000);
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it_and_no_secret_is_left(before in ".{0,40}", after in ".{0,40}") {
            let text = format!("{before}s3cr3t-value{after}");
            proptest::prop_assert!(!redact(&text, &["s3cr3t-value"]).contains("s3cr3t-value"));
        }
    }
}
