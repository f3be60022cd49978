//! Builders.

use crate::{BuilderId, BuilderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A builder as the master has it configured: `/api/v2/builders/N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Builder {
    /// Its key.
    pub id: BuilderId,
    /// Its name.
    pub name: BuilderName,
    /// What the configuration says of it.
    pub description: Option<String>,
    /// Its tags: the specification's categories (C01).
    pub tags: Vec<String>,
    /// The name of its project, where it has one.
    pub project: Option<String>,
    /// Whether a master still runs it; one that was removed from the configuration keeps its history.
    pub configured: bool,
}

/// Orders names as people do: `unit-2` before `unit-10`.
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (m, n) = (digits(a), digits(b));
                let trim = |s: &[u8]| s.iter().take_while(|c| **c == b'0').count();
                let (x, y) = (&a[trim(&a[..m])..m], &b[trim(&b[..n])..n]);
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then(m.cmp(&n));
                if order.is_ne() {
                    return order;
                }
                (a, b) = (&a[m..], &b[n..]);
            }
            (Some(x), Some(y)) if x == y => (a, b) = (&a[1..], &b[1..]),
            _ => return a.cmp(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::natural_cmp;
    use std::cmp::Ordering::{Equal, Greater, Less};

    #[test]
    fn numbers_in_names_are_compared_by_value() {
        for (a, b, order) in [
            ("unit-2", "unit-10", Less),
            ("unit-10", "unit-2", Greater),
            ("a", "a", Equal),
            ("a", "ab", Less),
            ("a01", "a1", Greater),
            ("win/32", "win/64", Less),
            ("é2", "é10", Less),
        ] {
            assert_eq!(natural_cmp(a, b), order, "{a} {b}");
        }
    }
}
