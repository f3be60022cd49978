//! What plain scalars mean: as kubectl reads them (YAML 1.1's words, numbers of four bases), so
//! that a file means the same with a cluster and without one.

use super::node::Content;
use granit_parser::{ScalarStyle, Tag};
use std::borrow::Cow;

/// The value of a scalar. Quoted ones and those tagged `!!str` are texts.
pub(crate) fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Content {
    let forced = tag.and_then(Tag::core_suffix) == Some("str");
    if style != ScalarStyle::Plain || forced {
        return Content::Text(text.into_owned());
    }
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Content::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Content::Bool(false);
        }
        _ => {}
    }
    integer(&text).or_else(|| float(&text)).unwrap_or_else(|| Content::Text(text.into_owned()))
}

fn integer(text: &str) -> Option<Content> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        // YAML 1.1's octal, which kubectl knows too.
        Some(two) if two.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let number = plain.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix))?;
    number.ok().map(Content::Int)
}

fn float(text: &str) -> Option<Content> {
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit());
    numeric.then(|| text.parse::<f64>().ok())?.filter(|f| f.is_finite()).map(Content::Float)
}

#[cfg(test)]
mod tests {
    use crate::manifest::tree::documents;
    use serde_json::json;

    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        let text = "[yes, off, null, '', 'no', 12, -3, 0x10, 0o17, 010, 1.5, 1e3, 1.2.3, 08, a, !!str 5, 99999999999999999999]";
        assert_eq!(
            documents(text).0[0].to_json(),
            json!([
                true, false, null, "", "no", 12, -3, 16, 15, 8, 1.5, 1000.0, "1.2.3", 8.0, "a",
                "5", 1e20
            ])
        );
    }
}
