//! A label of an object in a cluster.

/// Reads `KEY=VALUE`, as Kubernetes takes it. One that it refused would keep every object that has
/// it from being applied.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) =
        text.split_once('=').ok_or("KEY=VALUE is meant, such as release=prometheus")?;
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("example.org", key));
    if !is_domain(prefix) || !is_word(name) {
        return Err(format!(
            "the key {key:?} is none that Kubernetes takes: a name of 1 to 63 letters, digits, `-`, `_` and `.` \
             that begins and ends with a letter or digit; before it a domain and `/`, if there is one"
        ));
    }
    if !value.is_empty() && !is_word(value) {
        return Err(format!(
            "the value {value:?} is none that Kubernetes takes: at most 63 letters, digits, `-`, `_` and `.`, \
             with a letter or digit at both ends"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn is_word(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.len() <= 63 && text.bytes().all(inner) && ends_well(text)
}

fn is_domain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let part = |part: &str| part.bytes().all(inner) && ends_well(part);
    text.len() <= 253 && text.split('.').all(part)
}

/// Whether it begins and ends with a letter or digit.
fn ends_well(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::label;

    #[test]
    fn k06_a_label_is_what_kubernetes_takes_and_anything_else_is_named() {
        let taken = |text: &str| label(text).map(|(key, value)| format!("{key} is {value}"));
        assert_eq!(taken("release=prometheus"), Ok("release is prometheus".to_owned()));
        assert_eq!(taken("example.org/Team_1=A.b-c"), Ok("example.org/Team_1 is A.b-c".to_owned()));
        assert_eq!(taken("empty="), Ok("empty is ".to_owned()));
        let long = format!("a={}", "b".repeat(64));
        for (text, words) in [
            ("release", "KEY=VALUE"),
            ("=a", "the key \"\""),
            ("-a=b", "the key \"-a\""),
            ("a b=c", "the key \"a b\""),
            ("Example.org/a=b", "the key"),
            ("a//b=c", "the key"),
            ("/a=b", "the key"),
            ("a=b c", "the value \"b c\""),
            ("a=b=c", "the value \"b=c\""),
            ("a=.b", "the value \".b\""),
            (long.as_str(), "the value"),
        ] {
            let refused = taken(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
