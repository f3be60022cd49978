//! Query arguments of an address: repeatable, bounded, with messages that name what is wrong.

use crate::PageError;
use model::segment;
use percent_encoding::percent_decode;

/// More arguments than that are refused.
const MOST: usize = 200;

/// The arguments of one address, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part after the `?`: `builder=a&builder=b%2Fc`. Never fails: what is no UTF-8
    /// gets replacement characters, and what [`Query::check`] refuses is cut.
    pub fn parse(text: &str) -> Self {
        let decode = |part: &str| {
            let spaced: Vec<u8> = part.bytes().map(|b| if b == b'+' { b' ' } else { b }).collect();
            percent_decode(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MOST);
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// Refuses what no reader of pages writes: more arguments than [`Query::parse`] reads.
    ///
    /// # Errors
    /// [`PageError`] 400 with their number.
    pub fn check(text: &str) -> Result<(), PageError> {
        let count = text.split('&').filter(|pair| !pair.is_empty()).count();
        if count <= MOST {
            return Ok(());
        }
        let text = format!("too many arguments: the address has {count}, a page takes {MOST}.");
        Err(PageError::new(400, "Bad argument", text))
    }

    /// All arguments.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All values of an argument; empty ones mean nothing and are left out.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(n, v)| *n == name && !v.is_empty()).map(|(_, v)| v)
    }

    /// The last value of an argument that is not empty.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// [`PageError`] 400 that names the argument, its value and what it takes.
    pub fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, PageError> {
        let Some(value) = self.one(name) else { return Ok(None) };
        match value.trim().parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(PageError::argument(
                name,
                value,
                &match (*range.start(), *range.end()) {
                    (low, i64::MAX) => format!("a whole number, {low} or more"),
                    (low, high) => format!("a whole number from {low} to {high}"),
                },
            )),
        }
    }

    /// `true` or `false`; `1` and `0`, `yes` and `no`, `on` and `off` too.
    ///
    /// # Errors
    /// [`PageError`] 400 that names the argument and its value.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, PageError> {
        let Some(value) = self.one(name) else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Some(true)),
            "false" | "0" | "no" | "off" => Ok(Some(false)),
            _ => Err(PageError::argument(name, value, "true or false")),
        }
    }

    /// The query without the arguments that `drop` picks, and with `add` behind; begins with
    /// `?` unless it is empty.
    pub fn changed(&self, drop: impl Fn(&str, &str) -> bool, add: &[(&str, &str)]) -> String {
        let kept = self.iter().filter(|(n, v)| !drop(n, v) && !v.is_empty());
        let mut text = String::new();
        for (name, value) in kept.chain(add.iter().copied()) {
            text.push(if text.is_empty() { '?' } else { '&' });
            text.push_str(&format!("{}={}", segment(name), segment(value)));
        }
        text
    }

    /// The query with one value of an argument in place of all its present ones.
    pub fn with(&self, name: &str, value: &str) -> String {
        self.changed(|n, _| n == name, &[(name, value)])
    }

    /// The query without an argument.
    pub fn without(&self, name: &str) -> String {
        self.changed(|n, _| n == name, &[])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Query;

    #[test]
    fn w06_arguments_repeat_and_empty_values_mean_nothing() {
        let q = Query::parse("builder=unit+win%2F32&builder=a&branch=&x");
        assert_eq!(q.all("builder").collect::<Vec<_>>(), ["unit win/32", "a"]);
        assert_eq!(q.all("branch").count(), 0);
        assert_eq!(q.one("builder"), Some("a"));
        assert_eq!(q.without("builder"), "");
        assert_eq!(q.with("branch", "x&y"), "?builder=unit%20win%2F32&builder=a&branch=x%26y");
    }

    #[test]
    fn a_bad_number_or_flag_is_named_with_its_value() {
        let q = Query::parse("n=ten&f=maybe&big=99999999999999999999");
        let text = |e: crate::PageError| e.text;
        assert!(text(q.number("n", 1..=5).unwrap_err()).contains("n=ten"));
        assert!(text(q.number("big", 0..=i64::MAX).unwrap_err()).contains("0 or more"));
        assert!(text(q.flag("f").unwrap_err()).contains("f=maybe"));
        assert_eq!(q.number("none", 1..=5).unwrap(), None);
    }

    #[test]
    fn what_is_no_utf8_or_no_escape_does_no_harm() {
        for text in ["%", "%zz=%ff", "=", "&&&", "a=%F0%9F%92%A9", "ü=ü"] {
            let q = Query::parse(text);
            let again = q.changed(|_, _| false, &[]);
            let same = Query::parse(again.trim_start_matches('?'));
            assert_eq!(same.iter().filter(|(_, v)| !v.is_empty()).count(), same.iter().count());
        }
    }
}
